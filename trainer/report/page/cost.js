// What the runs took, and what they were given.

function costSection() {
  const rows = data.runs.map((run) => {
    const seconds = run.networks.reduce((sum, n) => sum + n.seconds, 0);
    const wall = run.cost ? run.cost.seconds : null;
    const perMinute = seconds > 0 ? 60 * run.networks.length / seconds : null;
    return {run, seconds, wall, perMinute};
  });
  const columns = [
    {name: 'run', value: (r) => r.run.name, wide: true},
    {name: 'networks', number: true, value: (r) => r.run.networks.length},
    {name: 'training', number: true, value: (r) => r.seconds, text: (r) => duration(r.seconds)},
    {name: 'networks per minute', number: true, value: (r) => r.perMinute, text: (r) => (r.perMinute && r.perMinute < 1 ? r.perMinute.toPrecision(2) : fixed(r.perMinute, 1))},
    {name: 'wall time in all', number: true, value: (r) => r.wall, text: (r) => duration(r.wall)},
    {name: 'peak memory', number: true, value: (r) => r.run.cost && r.run.cost.peak_memory_bytes, text: (r) => (r.run.cost ? bytes(r.run.cost.peak_memory_bytes) : '–')},
    {name: 'on', value: (r) => r.run.machine, wide: true},
  ];
  return h('section', {id: 'cost'}, h('h2', {}, 'Cost'),
    h('p', {class: 'quiet'}, 'Training is the sum over networks of their shares of the time; wall time also counts reading, testing and writing, in all sessions of a run but killed ones.'),
    table(columns, rows, {caption: 'Cost of each run'}));
}

function detailsSection() {
  return h('section', {}, h('h2', {}, 'How it was made'), data.runs.map((run) => h('details', {},
    h('summary', {}, run.name),
    h('dl', {class: 'facts'}, run.facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])))),
    h('p', {class: 'small quiet'}, `${data.program}, ${data.created}`));
}
