// What the chosen networks of a target and their ensemble get wrong: confusion matrix, worst pairs, worst images.

const mostCellsAsText = 24;  // classes up to which the matrix is a table

const who = (predictions) => (known(predictions.network) ? `network ${predictions.network} (${methodName(predictions.method)})` : 'the ensemble');
const capital = (text) => text[0].toUpperCase() + text.slice(1);

function mistakesSections(run, target) {
  const sets = run.predictions.filter((p) => p.target === target);
  if (!sets.length) return [];
  const box = h('div');
  const titles = sets.map((p) => capital(methodName(p.method)) + (known(p.network) ? `, network ${p.network}` : ''));
  const show = (i) => box.replaceChildren(...[confusionSection(run, sets[i], picker(i)), worstSection(run, sets[i])].filter(Boolean));
  const picker = (i) => (sets.length > 1 ? h('div', {class: 'controls'}, choice('Of', titles, i, show)) : null);
  show(0);
  return [box];
}

function classesOf(run, predictions) {
  const target = run.targets[predictions.target];
  // A name of spaces is to be seen, too.
  return target.class_names ? target.class_names.map((name) => (name.trim() ? name : `“${name}”`)) : Array.from({length: target.classes}, (_, i) => String(i));
}

function confusionSection(run, predictions, picker) {
  if (!predictions.labelled) return h('section', {}, h('h2', {}, 'Mistakes'), picker, h('p', {}, `None of the ${count(predictions.images)} images of ${predictions.data} has a label.`));
  const names = classesOf(run, predictions);
  const totals = new Map(), hits = new Map();
  for (const [label, prediction, n] of predictions.confusion) {
    totals.set(label, (totals.get(label) || 0) + n);
    if (label === prediction) hits.set(label, n);
  }
  const accuracy = 100 * [...hits.values()].reduce((a, b) => a + b, 0) / predictions.labelled;
  const pairs = predictions.confusion.filter(([l, p]) => l !== p).sort((a, b) => b[2] - a[2]).slice(0, 20);
  const classes = [...totals].map(([label, n]) => ({label, n, accuracy: 100 * (hits.get(label) || 0) / n}));
  classes.sort((a, b) => a.accuracy - b.accuracy || b.n - a.n);
  return h('section', {}, h('h2', {}, 'Confusion'), picker,
    h('p', {class: 'quiet'}, `${capital(who(predictions))} on ${predictions.data}: ${fixed(accuracy)} % of ${count(predictions.labelled)} labelled images are right.`),
    h('div', {class: 'beside'},
      h('div', {}, names.length <= mostCellsAsText ? confusionTable(names, predictions, totals) : confusionCanvas(names, predictions, totals)),
      h('div', {},
        pairs.length ? table([
          {name: 'label', value: (p) => names[p[0]], wide: true},
          {name: 'predicted', value: (p) => names[p[1]], wide: true},
          {name: 'images', number: true, value: (p) => p[2]},
          {name: '% of label', number: true, value: (p) => 100 * p[2] / totals.get(p[0]), text: (p) => fixed(100 * p[2] / totals.get(p[0]), 1)},
        ], pairs, {sortable: true, limit: 8, caption: 'Pairs confused most often'}) : h('p', {}, 'No image is classified wrongly.'),
        names.length > 2 ? table([
          {name: 'class', value: (c) => names[c.label], wide: true},
          {name: 'right %', number: true, value: (c) => c.accuracy, text: (c) => fixed(c.accuracy, 1)},
          {name: 'images', number: true, value: (c) => c.n},
        ], classes, {sortable: true, limit: 8, caption: 'Classes, the hardest first'}) : null)));
}

function confusionTable(names, predictions, totals) {
  const cells = new Map(predictions.confusion.map(([l, p, n]) => [l * names.length + p, n]));
  const head = h('tr', {}, h('td'), names.map((name) => h('th', {scope: 'col', title: name}, name)));
  const rows = names.map((name, l) => h('tr', {}, h('th', {scope: 'row', title: name}, name), names.map((_, p) => {
    const n = cells.get(l * names.length + p) || 0;
    const share = n / (totals.get(l) || 1);
    const cell = h('td', {class: share > 0.55 ? 'strong' : null, title: `${name} → ${names[p]}`}, n ? String(n) : '');
    cell.style.setProperty('--share', (n ? Math.max(share, 0.06) : 0).toFixed(3));
    return cell;
  })));
  return h('div', {}, h('p', {class: 'quiet small'}, 'Rows: label, columns: prediction. The stronger the colour, the larger the part of the row.'),
    h('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'confusion matrix'},
    h('table', {class: `matrix ${names.length <= 6 ? 'roomy' : ''}`}, h('thead', {}, head), h('tbody', {}, rows))));
}

// One pixel per cell, enlarged by the browser.
function confusionCanvas(names, predictions, totals) {
  const size = names.length;
  const canvas = h('canvas', {width: size, height: size, role: 'img', 'aria-label': `confusion matrix of ${size} classes; the tables beside it list its largest entries`});
  const context = canvas.getContext('2d');
  const cells = new Map();
  const paint = () => {
    context.clearRect(0, 0, size, size);
    const style = getComputedStyle(document.documentElement);
    const [hit, miss] = ['--heat', '--miss'].map((name) => style.getPropertyValue(name));
    for (const [l, p, n] of predictions.confusion) {
      cells.set(l * size + p, n);
      // A single mistake among many classes is to be seen, too.
      const share = n / totals.get(l);
      context.fillStyle = l === p ? `rgba(${hit}, ${(0.15 + 0.85 * share).toFixed(3)})` : `rgba(${miss}, ${Math.min(1, 0.35 + 2 * share).toFixed(3)})`;
      context.fillRect(p, l, 1, 1);
    }
  };
  paint();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);
  const readout = h('p', {class: 'readout', 'aria-live': 'polite'}, 'Rows: label, columns: prediction; what is off the diagonal is wrong. Point at a cell to read it.');
  canvas.addEventListener('pointermove', (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (offset, extent) => Math.min(size - 1, Math.max(0, Math.floor(offset / extent * size)));
    const p = at(event.clientX - box.left, box.width), l = at(event.clientY - box.top, box.height);
    readout.textContent = `${names[l]} → ${names[p]}: ${cells.get(l * size + p) || 0} of ${totals.get(l) || 0} images`;
  });
  return h('div', {}, canvas, readout);
}

function worstSection(run, predictions) {
  if (!predictions.worst.length) return null;
  const names = classesOf(run, predictions);
  const percent = (p) => (p < 0.001 ? '< 0.1 %' : `${(100 * p).toFixed(1)} %`);
  return h('section', {}, h('h2', {}, 'Worst-classified images'),
    h('p', {class: 'quiet'}, `Where ${who(predictions)} gives the true class the least probability, on ${predictions.data}. Some of them may be mislabelled.`),
    h('div', {class: 'samples'}, predictions.worst.map((sample) => h('figure', {},
      sample.thumbnail ? h('img', {src: sample.thumbnail, alt: sample.path, width: 64, height: 64}) : null,
      h('figcaption', {}, h('div', {}, 'is ', h('strong', {}, names[sample.label]), ` (${percent(sample.label_probability)})`),
        h('div', {}, 'seen as ', h('strong', {class: 'bad'}, names[sample.prediction]), ` (${percent(sample.probability)})`),
        h('div', {class: 'quiet'}, sample.path))))));
}
