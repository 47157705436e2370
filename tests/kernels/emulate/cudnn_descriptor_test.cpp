// SPDX-License-Identifier: MIT
#include "tests/kernels/emulate/cudnn_support.h"

// What the stand-in for cuDNN refuses before anything runs. The statuses of misuse are those that cuDNN 9.19 answers, except that it takes
// strides by which elements overlap, an extent of 0 and a tensor without a type.
namespace mirilla::emulate {
namespace {

using testing::HasSubstr;

struct EmulatedCudnn : Emulated {
  const Extents x{2, 8, 6, 6}, w{16, 8, 3, 3}, y{2, 16, 6, 6};
  Descriptor conv() { return done(unfinished_convolution({1, 1}, {1, 1}, {1, 1})); }
  Descriptor forward(cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return done(unfinished_operation(Kind::kForward, tensor({1, x, type}), tensor({2, w, type}), tensor({3, y, type}), conv()));
  }

  // The status, and that the sentence says this.
  static void expect_refused(const std::function<cudnnStatus_t()>& f, cudnnStatus_t status, const char* sentence) {
    cudnnStatus_t answer = CUDNN_STATUS_SUCCESS;
    const std::string text = printed([&] { answer = f(); });
    EXPECT_EQ(answer, status) << text;
    EXPECT_THAT(text, HasSubstr(sentence));
    EXPECT_THAT(text, testing::StartsWith("emulated GPU: cudnn"));
    char last[512];
    cudnnGetLastErrorString(last, sizeof last);
    EXPECT_THAT(text, HasSubstr(last));
  }
  static void expect_unfinished(Descriptor descriptor, const char* sentence, cudnnStatus_t status = CUDNN_STATUS_BAD_PARAM) {
    expect_refused([&] { return cudnnBackendFinalize(descriptor); }, status, sentence);
  }
};

TEST_F(EmulatedCudnn, HasTheVersionOfItsHeadersAndNamesItsErrors) {
  EXPECT_EQ(cudnnGetVersion(), static_cast<size_t>(CUDNN_VERSION));
  EXPECT_STREQ(cudnnGetErrorString(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED), "CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED");
  EXPECT_STREQ(cudnnGetErrorString(static_cast<cudnnStatus_t>(99)), "CUDNN_UNKNOWN_STATUS");
}

TEST_F(EmulatedCudnn, ChecksHowAttributesAreSetAndRead) {
  const Descriptor good = tensor({1, x});
  int64_t values[8];
  int64_t count = 0;
  ASSERT_EQ(cudnnBackendGetAttribute(good, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8, &count, values), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(Extents(values, values + count), x);
  ASSERT_EQ(cudnnBackendGetAttribute(good, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 2, &count, values), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(count, 2);
  expect_refused([&] { return cudnnBackendGetAttribute(good, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_FLOAT, 8, &count, values); },
                 CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "attribute 902 of a tensor has type 3, and type 4 was given");
  expect_refused([&] { return put(good, CUDNN_ATTR_TENSOR_UNIQUE_ID, int64_t{2}); }, CUDNN_STATUS_BAD_PARAM, "is finalized");
  expect_unfinished(good, "is finalized already");
  expect_unfinished(nullptr, "is null", CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  const Descriptor open = make(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  expect_refused([&] { return cudnnBackendGetAttribute(open, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8, &count, values); },
                 CUDNN_STATUS_NOT_INITIALIZED, "a tensor is not finalized");
  expect_refused([&] { return put(open, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, int64_t{1}); }, CUDNN_STATUS_BAD_PARAM, "no attribute 1301");
  expect_refused([&] { return put(open, CUDNN_ATTR_TENSOR_UNIQUE_ID, Extents{1, 2}); }, CUDNN_STATUS_BAD_PARAM, "2 elements");
  expect_refused([&] { return put(open, CUDNN_ATTR_TENSOR_DIMENSIONS, Extents()); }, CUDNN_STATUS_BAD_PARAM, "0 elements");
  expect_refused([&] { return cudnnBackendSetAttribute(open, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, nullptr); },
                 CUDNN_STATUS_BAD_PARAM, "4 elements at null");
  ASSERT_EQ(cudnnBackendDestroyDescriptor(open), CUDNN_STATUS_SUCCESS);
  expect_unfinished(open, "was destroyed");
}

TEST_F(EmulatedCudnn, WantsWholeTensors) {
  expect_unfinished(make(CUDNN_BACKEND_TENSOR_DESCRIPTOR), "is not set");
  expect_unfinished(unfinished({1, x, CUDNN_DATA_HALF, false, Extents{1, 2, 3}}), "has strides (1,2,3): one for each was expected");
  expect_unfinished(unfinished({1, x, CUDNN_DATA_HALF, false, Extents{288, 1, 48, 4}}), "elements share an address");
  expect_unfinished(unfinished({1, x, CUDNN_DATA_HALF, false, Extents{288, 1, -48, 8}}), "none below 0");
  expect_unfinished(unfinished({1, {2, 8, 0, 6}, CUDNN_DATA_HALF, false, Extents{288, 1, 48, 8}}), "positive ones were expected");
  expect_unfinished(unfinished({1, x, CUDNN_DATA_HALF, false, {}, 1}), "is aligned to 1 bytes: a power of two from its element's 2 on");
  expect_unfinished(unfinished({1, x, CUDNN_DATA_HALF, false, {}, 24}), "is aligned to 24 bytes");
}

TEST_F(EmulatedCudnn, WantsConvolutionsThatFitTheirTensors) {
  expect_unfinished(unfinished_convolution({1}, {1, 1}, {1, 1}), "paddings (1)");
  expect_unfinished(unfinished_convolution({1, 1}, {0, 1}, {1, 1}), "strides (0,1)");
  expect_unfinished(unfinished_convolution({1, -1}, {1, 1}, {1, 1}), "paddings (1,-1)");
  const auto operation = [&](const Extents& xs, const Extents& ws, const Extents& ys) {
    return unfinished_operation(Kind::kForward, tensor({1, xs}), tensor({2, ws}), tensor({3, ys}), conv());
  };
  expect_unfinished(operation(x, w, {2, 16, 5, 6}), "in spatial dimension 0 a convolution of x (2,8,6,6) and filters (16,8,3,3) gives 6");
  expect_unfinished(operation(x, w, {2, 8, 6, 6}), "16 filters, and y has 8 channels");
  expect_unfinished(operation(x, w, {1, 16, 6, 6}), "x has 2 images and y has 1");
  expect_unfinished(operation(x, {16, 5, 3, 3}, y), "x has 8 channels and the filters have 5");
}

TEST_F(EmulatedCudnn, TakesFinalizedDescriptorsOfTheRightKindOnly) {
  const Descriptor operation = make(CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
  expect_refused(
      [&] {
        return put(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, unfinished({1, x}));
      },
      CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "a tensor is not finalized, and a forward convolution was to use it");
  expect_refused([&] { return put(operation, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, conv()); }, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
                 "was given a convolution");
  expect_unfinished(operation, "is not set");
}

TEST_F(EmulatedCudnn, KeepsWhatADestroyedDescriptorWasGivenFor) {
  const Descriptor used = conv();
  const Descriptor operation = unfinished_operation(Kind::kForward, tensor({1, x}), tensor({2, w}), tensor({3, y}), used);
  ASSERT_EQ(cudnnBackendDestroyDescriptor(used), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnBackendFinalize(operation), CUDNN_STATUS_SUCCESS);
}

TEST_F(EmulatedCudnn, WantsGraphsThatDoNotContradictThemselves) {
  expect_unfinished(graph_of({forward(), forward()}), "tensor 3 is the result of two operations");
  const Descriptor twice = done(unfinished_operation(Kind::kForward, tensor({1, x}), tensor({2, w}), tensor({1, y}), conv()));
  expect_unfinished(graph_of({twice}), "two different tensors have the number 1");
  const Descriptor lost =
      done(unfinished_operation(Kind::kForward, tensor({1, x, CUDNN_DATA_FLOAT, true}), tensor({2, w}), tensor({3, y}), conv()));
  expect_unfinished(graph_of({lost}), "tensor 1 is virtual, and no operation of the graph computes it");
  const Descriptor circle = done(pointwise(CUDNN_POINTWISE_ADD, tensor({3, y}), tensor({4, y}), tensor({5, y})));
  const Descriptor back = done(pointwise(CUDNN_POINTWISE_RELU_FWD, tensor({4, y}), tensor({5, y})));
  expect_unfinished(graph_of({forward(), circle, back}), "in a circle");
  expect_unfinished(pointwise(CUDNN_POINTWISE_ADD, tensor({3, y}), tensor({4, y})), "lacks the second");
  expect_unfinished(pointwise(CUDNN_POINTWISE_ADD, tensor({3, y}), tensor({4, y}), tensor({5, {1, 1, 6, 6}})), "one value per channel");
}

// The number of configurations that a mode suggests.
int64_t suggested(Descriptor graph, cudnnBackendHeurMode_t mode) {
  const Descriptor request = make(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  EXPECT_EQ(put(request, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(put(request, CUDNN_ATTR_ENGINEHEUR_MODE, mode), CUDNN_STATUS_SUCCESS);
  int64_t count = -1;
  EXPECT_EQ(cudnnBackendGetAttribute(done(request), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr),
            CUDNN_STATUS_SUCCESS);
  return count;
}

TEST_F(EmulatedCudnn, SuggestsEnginesAndNoneForWhatItCannotCompute) {
  const Descriptor graph = done(graph_of({forward(CUDNN_DATA_HALF)}));
  EXPECT_GT(suggested(graph, CUDNN_HEUR_MODE_A), 1);
  EXPECT_EQ(suggested(graph, CUDNN_HEUR_MODE_FALLBACK), 1);
  const auto with = [&](const TensorSpec& xs, const TensorSpec& ws, const TensorSpec& ys) {
    return done(graph_of({done(unfinished_operation(Kind::kForward, tensor(xs), tensor(ws), tensor(ys), conv()))}));
  };
  std::string text;
  const auto expect_none = [&](Descriptor other) {
    text += printed([&] {
      for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) EXPECT_EQ(suggested(other, mode), 0);
      EXPECT_EQ(cudnnBackendFinalize(unfinished_engine(other, 0)), CUDNN_STATUS_NOT_SUPPORTED);
    });
  };
  expect_none(with({1, x, CUDNN_DATA_FLOAT, false, Extents{288, 36, 6, 1}}, {2, w}, {3, y}));  // NCHW
  expect_none(with({1, x, CUDNN_DATA_DOUBLE}, {2, w, CUDNN_DATA_DOUBLE}, {3, y, CUDNN_DATA_DOUBLE}));
  expect_none(with({1, x, CUDNN_DATA_HALF}, {2, w, CUDNN_DATA_HALF}, {3, y, CUDNN_DATA_FLOAT}));
  expect_none(with({1, x}, {2, {16, 4, 3, 3}}, {3, y}));  // two groups
  EXPECT_EQ(text, "");                                    // none of this is a mistake
}

TEST_F(EmulatedCudnn, KnowsItsEnginesAndTheirKnobs) {
  const Descriptor graph = done(graph_of({forward(CUDNN_DATA_HALF)}));
  int64_t engines = 0;
  ASSERT_EQ(cudnnBackendGetAttribute(graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, 1, nullptr, &engines),
            CUDNN_STATUS_SUCCESS);
  expect_unfinished(unfinished_engine(graph, engines), "there is no engine 6: 0 to 5 were expected");
  const Descriptor engine = done(unfinished_engine(graph, 1));
  const auto choose = [&](cudnnBackendKnobType_t type, int64_t value) {
    const Descriptor choice = make(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
    EXPECT_EQ(put(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, type), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(put(choice, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, value), CUDNN_STATUS_SUCCESS);
    const Descriptor configuration = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    EXPECT_EQ(put(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, engine), CUDNN_STATUS_SUCCESS);
    EXPECT_EQ(put(configuration, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, done(choice)), CUDNN_STATUS_SUCCESS);
    return cudnnBackendFinalize(configuration);
  };
  EXPECT_EQ(choose(CUDNN_KNOB_TYPE_TILE_SIZE, 3), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(choose(CUDNN_KNOB_TYPE_TILE_SIZE, 4), CUDNN_STATUS_NOT_SUPPORTED);
  EXPECT_EQ(choose(CUDNN_KNOB_TYPE_STAGES, 0), CUDNN_STATUS_NOT_SUPPORTED);
}

// As cudnn-frontend does it: the graph has the handle, and the plan none.
TEST_F(EmulatedCudnn, WantsAHandleForAPlanOrForItsGraph) {
  cudnnHandle_t handle = nullptr;
  ASSERT_EQ(cudnnCreate(&handle), CUDNN_STATUS_SUCCESS);
  const auto plan_of = [&](bool graph_has_handle) {
    const Descriptor graph = graph_of({forward()});
    if (graph_has_handle) {
      EXPECT_EQ(put(graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, handle), CUDNN_STATUS_SUCCESS);
    }
    const Descriptor configuration = make(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    EXPECT_EQ(put(configuration, CUDNN_ATTR_ENGINECFG_ENGINE, done(unfinished_engine(done(graph), 0))), CUDNN_STATUS_SUCCESS);
    const Descriptor plan = make(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    EXPECT_EQ(put(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, done(configuration)), CUDNN_STATUS_SUCCESS);
    return plan;
  };
  expect_unfinished(plan_of(false), "needs a handle, its own or that of its operation graph");
  EXPECT_EQ(cudnnBackendFinalize(plan_of(true)), CUDNN_STATUS_SUCCESS);
}

TEST_F(EmulatedCudnn, FailsOnRequest) {
  start({.failures = {{"cudnnBackendFinalize", 2, cudaErrorUnknown, "CUDNN_STATUS_INTERNAL_ERROR"}}});
  EXPECT_EQ(cudnnBackendFinalize(unfinished({1, x})), CUDNN_STATUS_SUCCESS);
  EXPECT_EQ(cudnnBackendFinalize(unfinished({1, x})), CUDNN_STATUS_INTERNAL_ERROR);
  EXPECT_EQ(cudnnBackendFinalize(unfinished({1, x})), CUDNN_STATUS_SUCCESS);
  start({.failures = {{"cudnnCreate", 1, cudaErrorUnknown, "CUDNN_STATUS_TIRED"}}});
  cudnnHandle_t handle = nullptr;
  EXPECT_EXIT(cudnnCreate(&handle), testing::ExitedWithCode(1), "CUDNN_STATUS_TIRED of cudnnCreate, which is none of its errors");
}

}  // namespace
}  // namespace mirilla::emulate
