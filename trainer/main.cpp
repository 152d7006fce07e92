#include "common/cli/program.h"
#include "trainer/commands/export.h"
#include "trainer/commands/merge.h"
#include "trainer/commands/report.h"
#include "trainer/commands/run.h"

int main(int argc, char** argv) {
  last::end_program(last::run_program(
      "trainer", "trains LAST side networks on cached features of a frozen vision transformer",
      {{"run", "train a grid of side networks and linear probes", last::trainer_run},
       {"merge", "join the parts of a grid that was trained with --part", last::trainer_merge},
       {"report", "write a page about finished runs", last::trainer_report},
       {"export", "copy a network or an ensemble out of a run", last::trainer_export}},
      argc, argv));
}
