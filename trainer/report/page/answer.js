// What each target's best setting reaches, against the linear probe.

const methodName = (method) => ({last: 'LAST', linear: 'linear probe', ensemble: 'ensemble'}[method] || method);

// The numbers to judge by: test where it was measured, else val, which the choice has seen.
function judged(line) {
  if (line.test.length) return {values: line.test, data: 'test'};
  if (line.val.length) return {values: line.val, data: 'val'};
  return {values: [], data: null};
}

const signed = (points) => `${points >= 0 ? '+' : '−'}${fixed(Math.abs(points))} points`;

function answerCard(run, answer) {
  const target = run.targets[answer.target];
  const title = data.runs.length > 1 ? `${target.name} (${run.name})` : target.name;
  const best = answer.lines.find((line) => line.best);
  if (!best) {
    return h('div', {class: 'card answer'}, h('h3', {}, title), h('p', {}, 'No best setting: nothing decides between the methods or settings that were trained.'),
      answer.warnings.map((warning) => h('p', {class: 'small quiet'}, warning)));
  }
  const {values, data: from} = judged(best);
  const linear = answer.lines.find((line) => line.method === 'linear' && line !== best);
  const other = linear ? judged(linear) : null;
  const comparable = other && from && other.data === from;
  const gain = comparable ? mean(values) - mean(other.values) : null;
  const seeds = values.length === 1 ? '1 network' : `mean of ${values.length} seeds`;
  const where = {
    test: `on test, ${seeds}, trained on ${best.trained_on}`,
    val: `on val, ${seeds}, trained on ${best.trained_on}; ${best.by_val ? 'the setting was chosen on the same images, so expect less elsewhere' : 'not used for the choice'}`,
  }[from] || 'nothing was measured: neither val nor test';
  const ensemble = answer.lines.find((line) => line.method === 'ensemble');
  const together = ensemble ? judged(ensemble) : null;
  const more = together && from && together.data === from ? mean(together.values) - mean(values) : null;
  const bars = [best, ...answer.lines.filter((line) => line !== best)].filter((line) => judged(line).data === from && from);
  return h('div', {class: 'card answer'},
    h('h3', {}, title),
    h('div', {class: 'big'}, values.length ? fixed(mean(values)) : '–', values.length > 1 ? ` ± ${fixed(deviation(values))}` : '', h('small', {}, ' %')),
    h('p', {class: 'small quiet'}, where),
    h('p', {class: 'setting'}, best.setting),
    known(gain) ? h('p', {}, Math.abs(gain) < 0.005 ? 'as good as the linear probe' : [h('strong', {class: gain >= 0 ? 'good' : 'bad'}, signed(gain)), ' against the linear probe']) : null,
    known(more) ? h('p', {}, `The ensemble of ${ensemble.networks_in_mean}: ${fixed(mean(together.values))} %, `, h('strong', {class: more >= 0 ? 'good' : 'bad'}, signed(more)), ' against the best setting') : null,
    best.method === 'linear' ? h('p', {class: 'small quiet'}, 'The linear probe itself is the best here.') : null,
    bars.length > 1 ? h('div', {class: 'bars'}, bars.flatMap((line) => {
      const accuracy = mean(judged(line).values);
      const fill = h('i', {class: line === best ? 'best' : ['linear', 'ensemble'].includes(line.method) ? line.method : null});
      fill.style.width = `${accuracy}%`;
      return [h('span', {}, methodName(line.method)), h('span', {class: 'bar'}, fill), h('span', {class: 'number'}, `${spread(judged(line).values)} %`)];
    })) : null,
    answer.warnings.map((warning) => h('p', {class: 'small quiet'}, warning)));
}

function answerSection() {
  const lines = data.runs.flatMap((run) => run.answers.flatMap((answer) =>
    answer.lines.map((line) => ({...line, run, target: run.targets[answer.target].name}))));
  const columns = [
    data.runs.length > 1 ? {name: 'run', value: (l) => l.run.name, wide: true} : null,
    {name: 'target', value: (l) => l.target, wide: true},
    {name: 'method', value: (l) => methodName(l.method) + (l.best ? ' (best)' : '')},
    {name: 'setting', value: (l) => l.setting, wide: true},
    {name: 'chosen by', value: (l) => l.chosen_by},
    {name: 'trained on', value: (l) => l.trained_on},
    {name: 'networks', number: true, value: (l) => l.networks_in_mean},
    {name: 'parameters', number: true, value: (l) => l.parameters, text: (l) => count(l.parameters)},
    {name: 'val %', number: true, value: (l) => (l.val.length ? mean(l.val) : null), text: (l) => spread(l.val)},
    {name: 'test %', number: true, value: (l) => (l.test.length ? mean(l.test) : null), text: (l) => spread(l.test)},
  ].filter(Boolean);
  const chosenOnVal = data.runs.some((run) => run.chosen_on_val && new Set(run.networks.map((n) => n.setting)).size > 1);
  const seeds = lines.some((line) => Math.max(line.val.length, line.test.length) > 1);
  return h('section', {id: 'answer'}, h('h2', {}, 'Answer'),
    h('p', {class: 'quiet'}, chosenOnVal ? 'Settings were chosen by their mean validation accuracy; the test data played no part. ' : '', seeds ? '± is the standard deviation over seeds.' : ''),
    h('div', {class: 'grid'}, data.runs.flatMap((run) => run.answers.map((answer) => answerCard(run, answer)))),
    lines.length ? h('details', {}, h('summary', {}, 'As a table'), table(columns, lines, {sortable: true, caption: 'Chosen settings', mark: (l) => l.best})) : null);
}
