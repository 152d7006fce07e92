// All settings of a target, with their seeds put together.

// The networks of one target as settings: {networks, val, test, seconds, ..}. What was trained again for the ensemble
// alone stands apart from the seeds of what was chosen.
function settingsOf(run, target) {
  const groups = new Map();
  const answered = new Set(run.answers[target].lines.flatMap((line) => line.networks));
  for (const network of run.networks) {
    if (network.target !== target) continue;
    const key = `${network.stage} ${answered.has(network.network)} ${network.setting}`;
    if (!groups.has(key)) groups.set(key, {...network, networks: []});
    groups.get(key).networks.push(network);
  }
  return [...groups.values()].map((group) => {
    const values = (name) => group.networks.map((n) => n[name]).filter(known);
    const average = (name) => (values(name).length ? mean(values(name)) : null);
    const ended = new Set(group.networks.map((n) => n.status));
    return {...group, val: values('val_accuracy'), test: values('test_accuracy'), val_mean: average('val_accuracy'), val_loss: average('val_loss'), test_mean: average('test_accuracy'), loss: average('train_loss'),
      seconds: group.networks.reduce((sum, n) => sum + n.seconds, 0), status: [...ended].join(', ')};
  });
}

// 4, 5, 6 and 9 as "4–6, 9".
function ranges(numbers) {
  const found = [];
  for (const n of [...numbers].sort((a, b) => a - b)) {
    if (found.length && found[found.length - 1][1] === n - 1) found[found.length - 1][1] = n;
    else found.push([n, n]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from}–${to}`)).join(', ');
}

// "lr 0.001" stays in one line.
const unbroken = (setting) => setting.replace(/(^| )(lr|wd|head|smoothing|norm|variant) /g, '$1$2\u00a0');

function rankingSection(run, target) {
  const settings = settingsOf(run, target);
  const again = settings.filter((s) => s.stage === 'retrain').length;
  const searched = settings.length - again;
  const caption = `${searched} ${searched === 1 ? 'setting' : 'settings'}${again ? `, ${again} trained again` : ''}`;
  const chosen = new Set(run.answers[target].lines.filter((l) => l.best).flatMap((l) => l.networks.concat(l.chosen_from)));
  const loss = (value) => (known(value) ? value.toPrecision(3) : '–');
  const differ = (name) => settings.some((s) => s[name] !== settings[0][name]);
  const columns = [
    run.has_val ? {name: '#', number: true, ascending: true, value: (s) => s.place} : null,
    {name: 'setting', value: (s) => s.setting, text: (s) => unbroken(s.setting), wide: true},
    {name: 'val %', number: true, value: (s) => s.val_mean, text: (s) => spread(s.val)},
    run.has_val ? {name: 'val loss', number: true, value: (s) => s.val_loss, text: (s) => loss(s.val_loss)} : null,
    {name: 'test %', number: true, value: (s) => s.test_mean, text: (s) => spread(s.test)},
    again ? {name: 'trained on', value: (s) => s.train_data} : null,
    {name: 'train loss', number: true, value: (s) => s.loss, text: (s) => loss(s.loss)},
    {name: 'seeds', number: true, value: (s) => s.networks.length},
    {name: 'parameters', number: true, value: (s) => s.parameters, text: (s) => count(s.parameters)},
    differ('epochs') ? {name: 'epochs', number: true, value: (s) => s.epochs} : null,
    {name: 'seconds', number: true, value: (s) => s.seconds, text: (s) => fixed(s.seconds, s.seconds < 10 ? 2 : 0)},
    settings.some((s) => s.status !== 'ok') ? {name: 'status', value: (s) => s.status} : null,
    {name: 'networks', value: (s) => s.networks[0].network, text: (s) => ranges(s.networks.map((n) => n.network))},
  ].filter(Boolean);
  const sort = columns.findIndex((c) => c.name === (run.has_val ? '#' : 'setting'));
  return h('section', {}, h('h2', {}, 'Ranking'),
    h('p', {class: 'quiet'}, 'Every setting with its seeds; press a heading to sort. r: rank, g: gap, h: heads, lr: learning rate (head x: the head’s, relative to it), wd: weight decay. ',
      run.has_val ? '#: by val accuracy, of equal ones the lower val loss first, then fewer parameters; what diverged or was stopped comes last. ' : '',
      settings.length > 1 && settings.some((s) => s.test.length) && run.has_val ? 'Test accuracies are shown for the record: choosing by them would make them useless.' : ''),
    table(columns, settings, {sortable: true, sort, descending: false, limit: 20, caption, mark: (s) => s.networks.some((n) => chosen.has(n.network))}));
}
