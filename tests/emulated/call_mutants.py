# SPDX-License-Identifier: MIT
"""What the program could do wrong with CUDA's runtime, for mutants.py: MIRILLA_EMULATE_MISTAKE, and who has to notice it."""
import typing


class Call(typing.NamedTuple):
    what: str
    mistake: str
    tests: str  # a filter of test_cuda; one of these has to fail
    seed: int = 0


COPIES, AHEAD, REPLAY = "CudaDevice.CopiesThereAndBackAndWithin", "CudaStreams.*", "CudaReplay.*"
CONV = "CudaConv2d.EqualsTheReferenceInAllShapes/f32"

CALLS = [
    Call("a copy on the GPU left out", "drop:cudaMemcpyAsync:2", COPIES),
    Call("a copy to the host left out", "drop:cudaMemcpyAsync:3", COPIES),
    Call("a copy one byte short", "short:cudaMemcpyAsync:1", COPIES),
    Call("a copy on the GPU one byte short", "short:cudaMemcpyAsync:2", COPIES),
    Call("a copy on another stream", "stray:cudaMemcpyAsync:2", COPIES),
    Call("the wait for the device left out", "drop:cudaStreamSynchronize:all", "CudaStreams.AreBothWaitedForBySynchronize"),
    Call("the second stream does not wait for the first", "drop:cudaStreamWaitEvent:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the first stream does not follow the second", "drop:cudaStreamWaitEvent:all", "CudaStreams.SettleMemoryBeforeSomebodyElseGetsIt"),
    Call("the wrong stream waits", "stray:cudaStreamWaitEvent:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("events are not recorded", "drop:cudaEventRecordWithFlags:all", "CudaStreams.SendAheadAfterAMarkOfTheMainStream"),
    Call("events are recorded on another stream", "stray:cudaEventRecordWithFlags:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the wait for a mark left out", "drop:cudaEventSynchronize:all", "CudaStreams.SendAheadOnlyOnceTheMemoryIsFree"),
    Call("the wait for a mark behind a replay left out", "drop:cudaEventSynchronize:all", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a replay that does not run", "drop:cudaGraphLaunch:2", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a replay on another stream", "stray:cudaGraphLaunch:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a recorded kernel left out", "drop:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a kernel on a stream that does not record", "stray:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("a wait while a replay records", "wait:cudaLaunchKernel:1", "CudaReplay.DoesAStepAgainFromWhatIsInPinnedMemoryNow"),
    Call("memory released too early", "early:cudaMalloc:1", COPIES),
    Call("intermediate memory released too early", "early:cudaMallocFromPoolAsync:1", "CudaReductions.SumsWhatManyBlocksShare/*"),
    Call("intermediate memory released on another stream", "stray:cudaFreeAsync:all", "CudaReductions.SumsWhatManyBlocksShare/*", seed=1),
]

# Mistakes in a training with replayed steps: it has to give another model, or end with an error.
TRAINING = {
    "the host waits for no event": "drop:cudaEventSynchronize:all",
    "no event is recorded": "drop:cudaEventRecordWithFlags:all",
    "a replay does not run": "drop:cudaGraphLaunch:1",
    "memory of a recording that is released too early": "early:cudaMallocFromPoolAsync:200",
}
