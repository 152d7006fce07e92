// Puts the page together from the JSON beside it.

const data = JSON.parse(document.getElementById('data').textContent);
for (const run of data.runs) {
  run.networks = run.networks.map((row) => Object.fromEntries(run.columns.map((name, i) => [name, row[i]])));
}

(function start() {
  const networks = data.runs.reduce((sum, run) => sum + run.networks.length, 0);
  const targets = [...new Set(data.runs.flatMap((run) => run.targets.map((t) => t.name)))];
  document.getElementById('subtitle').textContent =
    `${count(networks)} ${networks === 1 ? 'network' : 'networks'}, ${targets.length === 1 ? `target “${targets[0]}”` : `${targets.length} targets`}${data.runs.length > 1 ? `, ${data.runs.length} runs` : ''}`;
  const main = document.getElementById('main');
  const chosen = h('div');
  let run = 0, target = 0;
  const controls = h('div', {class: 'controls'});
  const sticky = h('nav', {class: 'sticky', 'aria-label': 'what is shown below'}, controls);
  const show = () => {
    const r = data.runs[run];
    target = Math.min(target, r.targets.length - 1);
    controls.replaceChildren(...[
      data.runs.length > 1 ? choice('Run', data.runs.map((x) => x.name), run, (i) => { run = i; show(); }) : null,
      r.targets.length > 1 ? choice('Target', r.targets.map((t) => t.name), target, (i) => { target = i; show(); }) : null,
    ].filter(Boolean));
    chosen.replaceChildren(...[rankingSection(r, target), curvesSection(r, target), effectsSection(r, target), ...mistakesSections(r, target)].filter(Boolean));
  };
  show();
  main.replaceChildren(...[answerSection(), controls.childNodes.length ? sticky : null, chosen, costSection(), detailsSection()].filter(Boolean));
})();
