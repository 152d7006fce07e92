#include <iomanip>
#include <iostream>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/program.h"
#include "common/error.h"
#include "extractor/commands/bad_image_status.h"
#include "extractor/commands/commands.h"
#include "extractor/commands/evaluate_options.h"
#include "extractor/evaluate/evaluation.h"
#include "extractor/evaluate/recipe.h"

namespace last {
namespace {

// The options can only repeat what the networks were trained on.
void check_images(const ImageOptions& options, const FeatureRecipe& recipe) {
  const std::string difference =
      first_difference(recipe.preprocessing.to_json(),
                       options.resolve(recipe.preprocessing).to_json(), "in the networks", "now");
  if (!difference.empty()) {
    fail("the networks were trained on images prepared differently: ", difference,
         "; leave the option away");
  }
}

void print_result(const EvaluationResult& result, const Evaluation& job) {
  std::cout << std::fixed << std::setprecision(1) << result.images << " images, "
            << job.networks.size() << (job.networks.size() == 1 ? " network" : " networks") << ", "
            << static_cast<double>(result.images) / result.seconds << " images/s ("
            << result.seconds << " s";
  if (job.device.is_cpu()) {
    std::cout << "; backbone " << result.backbone_seconds << " s, networks "
              << result.network_seconds << " s";
  }
  std::cout << ")\nresults in " << job.out << "\n";
}

}  // namespace

int extractor_evaluate(const std::vector<std::string>& arguments) {
  const std::optional<EvaluateOptions> parsed = parse_evaluate_options(arguments);
  if (!parsed) return kExitDone;
  const EvaluateOptions& options = *parsed;
  install_interrupt_handlers(std::nullopt);
  const std::vector<NamedBundle> networks = load_networks(options.networks);
  const FeatureRecipe recipe = common_recipe(networks);
  check_images(options.images, recipe);
  const ImageList list = read_image_list(options.images.images());
  const DeviceOptions::Resolved compute = options.device.resolve(recipe.precision);
  for (const std::string& notice : precision_notices(networks, compute.precision)) {
    log_notice(notice);
  }
  const Backbone backbone =
      load_backbone(options.model.resolve(recipe.preprocessing), compute.device, compute.precision);
  check_backbone(recipe, networks, backbone);
  check_interrupt("nothing was done");

  const bool on_gpu = compute.device.is_cuda();
  const Evaluation job{
      list,
      networks,
      {recipe.preprocessing, {}, options.images.max_pixels(), compute.decode_threads, on_gpu},
      recipe.store,
      compute.device,
      compute.threads,
      compute.batch_size,
      options.top_k,
      options.out};
  const EvaluationResult result = evaluate(job, backbone);
  print_result(result, job);
  return bad_image_status(result.bad_images, options.out + "/bad.csv", options.allow_bad);
}

}  // namespace last
