import CPUBackend
import CUDABackend
import Foundation
import Media
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels

@testable import Generation

/// Memory that is refused in the middle of a job: the film is made with a smaller plan, or the error is clear; nothing
/// hangs and nothing is kept.
extension FakeGPUTests {
    @Suite(.serialized) struct ExhaustionTests {
        private let scratch: ScratchFolder
        private let library: ModelLibrary

        init() throws {
            scratch = try ScratchFolder()
            try TinyModel.write(in: scratch.url, layers: 2)
            library = ModelLibrary(directories: [scratch.url])
        }

        private func request(_ mode: GenerationMode) throws -> GenerationRequest {
            var request = try library.model(TinyModel.name).request(prompt: "a cat", mode: mode)
            (request.size, request.frameCount) = (FrameSize(width: 16, height: 16), 5)
            (request.steps, request.boundary) = (2, 0.95)
            if mode == .i2v { request.image = RGBImage(width: 2, height: 1, pixels: [0, 9, 0, 255, 255, 255]) }
            return request
        }

        /// All of them where `DROPREEL_EVERY_ALLOCATION` is set (minutes), else some, spread over the whole film.
        private func numbers(upTo count: Int, about few: Int) -> StrideThrough<Int> {
            let isWhole = ProcessInfo.processInfo.environment["DROPREEL_EVERY_ALLOCATION"] != nil
            return stride(from: 1, through: count, by: isWhole ? 1 : max(1, count / few))
        }

        /// At requests for memory of a film on the CPU: the same film, by a smaller plan.
        @Test(arguments: GenerationMode.allCases) func everyRequestForMemoryMayFail(mode: GenerationMode) throws {
            let backend = CountingBackend()
            let lines = Lines()
            let generator = Generator(
                library: library, backend: backend,
                options: Generator.Options(availableMemory: { nil }, log: { lines.add($0) }))
            let request = try request(mode)
            backend.failRequest(nil)
            let film = try generator.generate(request, sink: CountingSink()).report.framesSha256
            let count = backend.requestCount
            generator.unload()
            #expect(count > 100)
            var failures = 0
            for number in numbers(upTo: count, about: 8) {
                failures += 1
                generator.forget()
                backend.failRequest(number)
                let sink = CountingSink()
                let report = try generator.generate(request, sink: sink).report
                #expect(report.framesSha256 == film && sink.count == 5 && report.memoryPlan.followsOutOfMemory == true)
                generator.unload()
                #expect(backend.usage == 0)
            }
            #expect(lines.all.filter { $0.contains("once again with a smaller plan") }.count == failures)
        }

        /// The same where the GPU's driver refuses, also inside operations, which do not throw.
        @Test(arguments: GenerationMode.allCases) func everyAllocationOfTheDriverMayFail(mode: GenerationMode) throws {
            let gpu = try FakeGPU()
            let backend = try gpu.backend()
            let generator = Generator(
                library: library, backend: backend, options: Generator.Options(backend, host: 1 << 30))
            let request = try request(mode)
            let start = gpu.state
            gpu.set(FakeGPU.State())
            _ = try generator.generate(request, sink: CountingSink())
            let count = gpu.state.allocations
            generator.unload()
            #expect(gpu.state.used == start.used && count > 200)
            // Where frames arrive in host memory is kept from film to film.
            let landing = gpu.state.pinned
            for number in numbers(upTo: Int(count), about: 24) {
                generator.forget()
                gpu.set(FakeGPU.State(failAllocation: Int64(number)))
                let sink = CountingSink()
                let report = try generator.generate(request, sink: sink).report
                #expect(sink.count == 5 && sink.isFinished && report.memoryPlan.followsOutOfMemory == true, "\(number)")
                generator.unload()
                let state = gpu.state
                #expect(
                    state.used == start.used && state.pieces == start.pieces && state.pinned <= landing
                        && state.mistakes == 0, "\(number)")
            }
        }

        /// The most bytes that a report tells are those of the plan that made the film.
        @Test func thePeakOfTheFailedAttemptIsForgotten() throws {
            let gpu = try FakeGPU()
            let backend = try gpu.backend()
            let generator = Generator(
                library: library, backend: backend, options: Generator.Options(backend, host: 1 << 30))
            gpu.set(FakeGPU.State())
            let whole = try generator.generate(request(.t2v), sink: CountingSink()).report
            let count = gpu.state.allocations
            generator.unload()
            generator.forget()
            gpu.set(FakeGPU.State(failAllocation: count - 1))
            let report = try generator.generate(request(.t2v), sink: CountingSink()).report
            let (least, most) = (try #require(report.peakMemoryBytes), try #require(whole.peakMemoryBytes))
            #expect(report.memoryPlan.followsOutOfMemory == true)
            #expect(least < most && least <= report.memoryPlan.bytes, "\(least) of \(most)")
        }

        /// Refused twice, the job ends with an error that says how much was wanted; the next job is none the worse.
        @Test func twiceIsEnough() throws {
            let gpu = try FakeGPU()
            let backend = try gpu.backend()
            let generator = Generator(
                library: library, backend: backend, options: Generator.Options(backend, host: 1 << 30))
            // Less than the plan was made for: another program takes memory meanwhile.
            var tight = FakeGPU.State()
            tight.memory = gpu.state.used + 200_000
            let error = #expect(throws: GenerationError.self) {
                _ = try generator.generate(request(.t2v), sink: CountingSink()) { _ in
                    gpu.set(tight)
                    return true
                }
            }
            #expect(error?.code == .memory && error?.message.hasPrefix("the device has no room for another") == true)
            gpu.set(FakeGPU.State())
            let sink = CountingSink()
            _ = try generator.generate(request(.t2v), sink: sink)
            #expect(sink.isFinished)
        }
    }
}
