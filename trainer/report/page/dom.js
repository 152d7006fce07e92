'use strict';
// Every text goes into the page through textContent: names from files are never parsed as HTML.

function h(tag, attributes, ...children) {
  const node = document.createElement(tag);
  set(node, attributes);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, attributes, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  set(node, attributes);
  node.append(...children.flat());
  return node;
}

function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === 'on') for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
}

const known = (x) => x !== null && x !== undefined;
const fixed = (x, digits = 2) => (known(x) ? x.toFixed(digits) : '–');
const count = (x) => (known(x) ? x.toLocaleString('en') : '–');
const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
// Of a sample (n - 1); null for one value.
const deviation = (values) => {
  if (values.length < 2) return null;
  const m = mean(values);
  return Math.sqrt(values.reduce((a, b) => a + (b - m) ** 2, 0) / (values.length - 1));
};
const spread = (values) => {
  if (!values.length) return '–';
  return fixed(mean(values)) + (values.length > 1 ? ' ± ' + fixed(deviation(values)) : '');
};
const duration = (s) => {
  if (!known(s)) return '–';
  if (s < 120) return `${s.toFixed(s < 10 ? 1 : 0)} s`;
  if (s < 7200) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
};
const bytes = (b) => (b < 2 ** 30 ? `${(b / 2 ** 20).toFixed(0)} MiB` : `${(b / 2 ** 30).toFixed(2)} GiB`);

// columns: [{name, value(row), text?(row), number?, ascending?, wide?}]; `first` names the row header.
function table(columns, rows, options = {}) {
  let sorted = known(options.sort) ? options.sort : -1;
  let descending = options.descending !== false;
  let shown = options.limit || rows.length;
  const body = h('tbody');
  const heads = columns.map((column, i) => {
    const button = options.sortable
      ? h('button', {type: 'button', on: {click: () => sort(i)}}, column.name)
      : column.name;
    return h('th', {scope: 'col', class: column.number ? 'number' : null}, button);
  });
  const more = h('button', {type: 'button', on: {click: () => { shown = rows.length; draw(); }}});

  function sort(i) {
    descending = sorted === i ? !descending : Boolean(columns[i].number && !columns[i].ascending);
    sorted = i;
    draw();
  }
  function ordered() {
    if (sorted < 0) return rows;
    const value = columns[sorted].value;
    return rows.map((row, i) => [value(row), i, row]).sort(([a, i], [b, j]) => {
      if (known(a) !== known(b)) return known(a) ? -1 : 1;  // what is missing comes last
      const order = !known(a) ? 0 : typeof a === 'number' ? a - b : String(a).localeCompare(String(b));
      return (descending ? -order : order) || i - j;
    }).map(([, , row]) => row);
  }
  function draw() {
    heads.forEach((head, i) => {
      if (i === sorted) head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
      else head.removeAttribute('aria-sort');
    });
    body.replaceChildren(...ordered().slice(0, shown).map((row) => h('tr', {class: options.mark && options.mark(row) ? 'chosen' : null},
      columns.map((column) => h('td', {class: column.number ? 'number' : column.wide ? `name ${column.name}` : null},
        column.text ? column.text(row) : known(column.value(row)) ? String(column.value(row)) : '–')))));
    more.hidden = shown >= rows.length;
    more.textContent = `Show all ${rows.length}`;
  }
  draw();
  return h('div', {},
    h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': options.caption},
      h('table', {class: options.wide === false ? null : 'wide'},
        options.caption ? h('caption', {}, options.caption) : null,
        h('thead', {}, h('tr', {}, heads)), body)),
    rows.length > shown ? h('p', {}, more) : null);
}

function choice(label, options, selected, change) {
  const select = h('select', {on: {change: () => change(Number(select.value))}},
    options.map((text, i) => h('option', {value: i, selected: i === selected ? '' : null}, text)));
  return h('label', {}, label, select);
}

// Draws now and whenever the width of the box changes, so that text keeps its size on a phone. In the next frame: what
// changes the height of the box that is observed would be reported as an error.
function drawn(draw) {
  const box = h('div');
  let width = 0;
  const redraw = () => {
    if (box.clientWidth === width || !box.clientWidth) return;
    width = box.clientWidth;
    box.replaceChildren(draw(width));
  };
  new ResizeObserver(() => requestAnimationFrame(redraw)).observe(box);
  return box;
}

// About `wanted` round numbers from low to high.
function ticks(low, high, wanted) {
  const raw = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const result = [];
  for (let t = Math.ceil(low / step - 1e-9) * step; t <= high + step * 1e-9; t += step) result.push(t);
  return result.map((t) => Number(t.toPrecision(12)));
}
