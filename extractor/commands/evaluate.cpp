#include <iomanip>
#include <iostream>

#include "common/cli/interrupt.h"
#include "common/cli/log.h"
#include "common/cli/program.h"
#include "common/error.h"
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
  if (compute.precision != recipe.precision) {
    log_notice(concat("the networks' features were computed in ", dtype_name(recipe.precision),
                      ", these are in ", dtype_name(compute.precision),
                      ": last digits differ (--precision changes it)"));
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
  if (result.bad_images == 0) return kExitDone;
  const std::string message =
      concat(result.bad_images, " bad image", result.bad_images == 1 ? "" : "s", ", listed in ",
             options.out, "/bad.csv");
  if (result.bad_images <= options.allow_bad) {
    log_info(message);
    return kExitDone;
  }
  log_warning(concat(message, ", more than --allow-bad ", options.allow_bad));
  return kExitBadImages;
}

}  // namespace last
