// Learning curves of all networks of a target.

const curveKinds = [['val', 'validation accuracy (%)'], ['loss', 'training loss'], ['accuracy', 'training accuracy (%)']];

function pointsOf(run, network, kind) {
  const curve = run.curves[network.network];
  if (!curve) return [];
  return curve.epoch.map((epoch, i) => [epoch, curve[kind][i]]).filter(([, y]) => known(y));
}

function curvesSection(run, target) {
  const networks = run.networks.filter((n) => n.target === target && run.curves[n.network]);
  const kinds = curveKinds.filter(([kind]) => networks.some((n) => pointsOf(run, n, kind).length > 0));
  if (!kinds.length) return null;
  const lines = run.answers[target].lines;
  const ids = (line) => new Set(line ? line.networks.concat(line.chosen_from) : []);
  const best = ids(lines.find((l) => l.best));
  const linear = ids(lines.find((l) => l.method === 'linear' && !l.best));
  let kind = kinds[0][0];
  const readout = h('p', {class: 'readout', 'aria-live': 'polite'}, 'Point at a curve to see which network it is.');
  const chart = h('div');
  const draw = () => chart.replaceChildren(drawn((width) => curveChart(run, networks, kind, best, linear, width, readout)));
  draw();
  return h('section', {}, h('h2', {}, 'Learning curves'),
    h('div', {class: 'controls'}, choice('Show', kinds.map(([, text]) => text), 0, (i) => { kind = kinds[i][0]; draw(); })),
    h('div', {class: 'legend'},
      best.size ? h('span', {}, h('b', {class: 'best'}), 'best setting') : null,
      linear.size ? h('span', {}, h('b', {class: 'linear'}), 'linear probe') : null,
      networks.some((n) => !best.has(n.network) && !linear.has(n.network)) ? h('span', {}, h('b'), 'other networks') : null),
    chart, readout);
}

function curveChart(run, networks, kind, best, linear, width, readout) {
  const height = Math.round(Math.min(380, Math.max(220, width * 0.45)));
  const left = 46, right = 12, top = 8, bottom = 34;
  const series = networks.map((network) => ({network, points: pointsOf(run, network, kind)})).filter((s) => s.points.length);
  const ys = series.flatMap((s) => s.points.map((p) => p[1])).sort((a, b) => a - b);
  // A diverging loss would press all others flat.
  const high = kind === 'loss' ? Math.min(ys[ys.length - 1], 3 * ys[Math.floor(ys.length / 2)] + 1e-9) : ys[ys.length - 1];
  const low = kind === 'loss' ? Math.min(0, ys[0]) : ys[0];
  const lastEpoch = Math.max(...series.flatMap((s) => s.points.map((p) => p[0])));
  const firstEpoch = Math.min(1, lastEpoch - 1);
  const x = (epoch) => left + (width - left - right) * (epoch - firstEpoch) / (lastEpoch - firstEpoch || 1);
  const y = (value) => top + (height - top - bottom) * (1 - (Math.min(value, high) - low) / (high - low || 1));
  const path = (points) => points.map(([e, v], i) => `${i ? 'L' : 'M'}${x(e).toFixed(1)} ${y(v).toFixed(1)}`).join('') + (points.length === 1 ? 'h2' : '');
  const marked = (s, set) => set.has(s.network.network);
  const others = series.filter((s) => !marked(s, best) && !marked(s, linear));
  const hover = svg('path', {class: 'hover'});
  const label = curveKinds.find(([k]) => k === kind)[1];
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': `${label} by epoch of ${series.length} networks`},
    ticks(low, high, 5).map((t) => [svg('line', {class: 'axis', x1: left, x2: width - right, y1: y(t), y2: y(t)}), svg('text', {x: left - 6, y: y(t) + 4, 'text-anchor': 'end'}, String(t))]).flat(),
    ticks(firstEpoch, lastEpoch, Math.max(2, width / 90)).filter(Number.isInteger).map((t) => svg('text', {x: x(t), y: height - bottom + 16, 'text-anchor': 'middle'}, String(t))),
    svg('text', {x: (left + width - right) / 2, y: height - 3, 'text-anchor': 'middle'}, 'epoch'),
    svg('path', {class: 'other', 'stroke-opacity': others.length > 60 ? 0.3 : 0.7, d: others.map((s) => path(s.points)).join('')}),
    series.filter((s) => marked(s, linear)).map((s) => svg('path', {class: 'linear', d: path(s.points)})),
    series.filter((s) => marked(s, best)).map((s) => svg('path', {class: 'best', d: path(s.points)})),
    hover);
  const placed = series.map((s) => ({...s, at: s.points.map(([e, v]) => [x(e), y(v)])}));
  picture.addEventListener('pointermove', (event) => {
    const box = picture.getBoundingClientRect();
    const px = (event.clientX - box.left) * width / box.width;
    const py = (event.clientY - box.top) * height / box.height;
    let nearest = null;
    for (const s of placed) {
      s.at.forEach(([ax, ay], i) => {
        const distance = (ax - px) ** 2 + (ay - py) ** 2;
        if (!nearest || distance < nearest.distance) nearest = {distance, s, i};
      });
    }
    if (!nearest) return;
    const [epoch, value] = nearest.s.points[nearest.i];
    hover.setAttribute('d', path(nearest.s.points));
    const n = nearest.s.network;
    readout.textContent = `Network ${n.network} (${n.stage}): ${n.setting}, seed ${n.seed}; epoch ${epoch}: ${value}`;
  });
  picture.addEventListener('pointerleave', () => hover.setAttribute('d', ''));
  return picture;
}
