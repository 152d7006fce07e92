#include "common/cli/program.h"
#include "extractor/commands/commands.h"

int main(int argc, char** argv) {
  last::end_program(last::run_program(
      "extractor", "runs a frozen vision transformer over images: stores its maps, or classifies",
      {{"run", "run a backbone over images and store its maps", last::extractor_run},
       {"evaluate", "classify images with side networks", last::extractor_evaluate},
       {"model", "say what a checkpoint is recognised as", last::extractor_model},
       {"inspect", "show what a feature store holds", last::extractor_inspect},
       {"verify", "check every checksum of a feature store", last::extractor_verify}},
      argc, argv));
}
