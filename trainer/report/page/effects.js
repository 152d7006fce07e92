// How validation accuracy depends on each hyper-parameter that the search varied.

const hyperparameters = ['rank', 'gap', 'heads', 'modules', 'variant', 'bias_correction', 'biases', 'pool', 'norm', 'learning_rate', 'head_learning_rate_scale', 'weight_decay', 'label_smoothing'];

function effectsSection(run, target) {
  const measured = run.networks.filter((n) => n.target === target && n.stage !== 'retrain' && known(n.val_accuracy));
  const cards = [];
  for (const method of ['last', 'linear']) {
    const networks = measured.filter((n) => n.method === method);
    for (const name of hyperparameters) {
      const values = [...new Set(networks.map((n) => n[name]).filter(known))];
      if (values.length < 2) continue;
      values.sort((a, b) => (typeof a === 'number' ? a - b : String(a).localeCompare(String(b))));
      cards.push(effectCard(name, method, values.map((value) => {
        const accuracies = networks.filter((n) => n[name] === value).map((n) => n.val_accuracy);
        return {value, accuracies, mean: mean(accuracies), best: Math.max(...accuracies)};
      })));
    }
  }
  if (!cards.length) return null;
  const stopped = measured.some((n) => n.status === 'stopped');
  return h('section', {}, h('h2', {}, 'Effect of each hyper-parameter'),
    h('p', {class: 'quiet'}, 'Validation accuracy of all networks by one option at a time; the line is the mean, the full dot the best network.',
      stopped ? ' Networks that the search stopped early count with their last validation accuracy.' : ''),
    h('div', {class: 'grid'}, cards));
}

function effectCard(name, method, groups) {
  const title = `${name.replaceAll('_', ' ')}${method === 'linear' ? ' (linear probe)' : ''}`;
  const columns = [
    {name: 'value', value: (g) => g.value},
    {name: 'networks', number: true, value: (g) => g.accuracies.length},
    {name: 'mean val %', number: true, value: (g) => g.mean, text: (g) => fixed(g.mean)},
    {name: 'best val %', number: true, value: (g) => g.best, text: (g) => fixed(g.best)},
  ];
  const top = Math.max(...groups.map((g) => g.mean));
  return h('div', {class: 'card'}, h('h3', {}, title), drawn((width) => effectChart(title, groups, width)),
    h('details', {}, h('summary', {class: 'small'}, 'Numbers'), table(columns, groups, {caption: title, mark: (g) => g.mean === top})));
}

function effectChart(title, groups, width) {
  const height = 170, left = 40, right = 8, top = 10, bottom = 24;
  const all = groups.flatMap((g) => g.accuracies);
  const low = Math.min(...all), high = Math.max(...all);
  const y = (value) => top + (height - top - bottom) * (1 - (value - low) / (high - low || 1));
  const step = (width - left - right) / groups.length;
  const x = (i) => left + step * (i + 0.5);
  const band = Math.min(14, step * 0.3);
  // Dots of one value lie side by side in a fixed pattern, so that the picture is always the same.
  const dots = (g, i) => g.accuracies.filter((_, k) => k !== g.accuracies.indexOf(g.best)).map((a, k) => svg('circle', {class: 'dot', r: 3, cx: x(i) + band * (((k * 0.618) % 1) * 2 - 1), cy: y(a)}));
  return svg('svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': `validation accuracy by ${title}`},
    ticks(low, high, 4).flatMap((t) => [svg('line', {class: 'axis', x1: left, x2: width - right, y1: y(t), y2: y(t)}), svg('text', {x: left - 5, y: y(t) + 4, 'text-anchor': 'end'}, String(t))]),
    groups.flatMap((g, i) => [...dots(g, i), svg('line', {class: 'mean', x1: x(i) - band - 4, x2: x(i) + band + 4, y1: y(g.mean), y2: y(g.mean)}), svg('circle', {class: 'top', r: 4, cx: x(i), cy: y(g.best)}),
      svg('text', {x: x(i), y: height - 6, 'text-anchor': 'middle'}, String(g.value))]));
}
