import CUDABackend
import Foundation
import Sampling
import Tensors
import TestSupport
import Testing
import TinyModels

@testable import Generation

/// Work that is queued again and again: noted once, then one call each time; where that does not go, piece by piece.
extension FakeGPUTests {
    @Suite(.serialized) struct RepetitionTests {
        private let gpu: FakeGPU
        private let backend: CUDABackend
        private let (x, y): (Tensor, Tensor)

        init() throws {
            gpu = try FakeGPU()
            backend = try gpu.backend()
            (x, y) = (try backend.allocate([64], .f32), try backend.allocate([64], .f32))
        }

        /// Five pieces, with memory of their own in between.
        private func work() throws {
            let own = try backend.allocate([64], .f32)
            backend.fill(own, with: 1)
            backend.add(own, to: x)
            let other = try backend.allocate([64], .f32)
            backend.copy(x, into: other)
            backend.multiply(x, by: other)
            backend.copy(x, into: y)
        }

        /// What the driver saw of `body`.
        private func seen(_ state: FakeGPU.State = FakeGPU.State(), _ body: () throws -> Void) rethrows -> FakeGPU.State
        {
            gpu.set(state)
            try body()
            #expect(gpu.state.mistakes == 0)
            return gpu.state
        }

        @Test func fromTheThirdTimeOnItIsOneCall() throws {
            let again = try #require(backend.repetition("work"))
            let first = try seen { try again.run(work) }
            #expect(first.launches == 3 && first.captures == 0 && first.graphLaunches == 0)
            let second = try seen { try again.run(work) }
            #expect(second.launches == 0 && second.noted == 5 && second.graphs == 1 && second.graphLaunches == 1)
            // What it allocates comes from one piece, allocated before.
            #expect(second.allocations == 1)
            let third = try seen { try again.run { Issue.record("known work is asked for") } }
            #expect(third.launches == 0 && third.captures == 0 && third.allocations == 0 && third.graphLaunches == 1)
            try backend.check()
        }

        @Test func workOfTheSameNameIsRenewed() throws {
            for attempt in 0..<3 {
                let again = try #require(backend.repetition("work"))
                let state = try seen { for _ in 0..<3 { try again.run(work) } }
                #expect(state.graphs == (attempt == 0 ? 1 : 0) && state.updates == (attempt == 0 ? 0 : 1))
                #expect(state.graphLaunches == (attempt == 0 ? 2 : 3))
            }
            // A driver that does not renew: made anew.
            let again = try #require(backend.repetition("work"))
            let state = try seen(FakeGPU.State(refusesUpdate: 1)) { try again.run(work) }
            #expect(state.graphs == 1 && state.updates == 0 && state.graphLaunches == 1)
        }

        @Test func memoryOfNotedWorkIsGivenBack() throws {
            let before = gpu.state
            do {
                let again = try #require(backend.repetition("work"))
                for _ in 0..<3 { try again.run(work) }
                #expect(gpu.state.used > before.used)
            }
            #expect(gpu.state.used == before.used && gpu.state.pieces == before.pieces && gpu.state.mistakes == 0)
        }

        @Test func whatCannotBeNotedIsQueuedPieceByPiece() throws {
            let again = try #require(backend.repetition("work"))
            try again.run(work)
            let state = try seen(FakeGPU.State(failCapture: 1)) { for _ in 0..<2 { try again.run(work) } }
            #expect(state.captures == 1 && state.launches == 6 && state.graphLaunches == 0)
            try backend.check()  // which is no fault of the device
        }

        /// Waiting for the device, and memory that outlives the work, cannot be noted.
        @Test func workThatWaitsOrKeepsMemoryIsQueuedPieceByPiece() throws {
            let before = gpu.state
            var kept: Tensor?
            for body in [
                {
                    try work()
                    _ = backend.download(y)
                },
                {
                    kept = try backend.allocate([64], .f32)
                    backend.fill(y, with: 2)
                },
            ] {
                let again = try #require(backend.repetition("bad \(kept == nil)"))
                let state = try seen { for _ in 0..<4 { try again.run(body) } }
                #expect(state.captures == 1 && state.graphLaunches == 0)
                try backend.check()
            }
            kept = nil
            #expect(gpu.state.used == before.used && gpu.state.pieces == before.pieces && gpu.state.mistakes == 0)
        }

        /// An error of the work's own ends it as it would have.
        @Test func errorsOfTheWorkComeThrough() throws {
            struct Stop: Error {}
            let again = try #require(backend.repetition("work"))
            try again.run(work)
            #expect(throws: Stop.self) { try again.run { throw Stop() } }
            let state = try seen { try again.run(work) }
            #expect(state.mistakes == 0)
        }

        @Test func aProfileSeesEveryPiece() throws {
            let again = try #require(backend.repetition("work"))
            try again.run(work)
            let state = try seen { _ = try backend.profile { for _ in 0..<3 { try again.run(work) } } }
            #expect(state.launches == 9 && state.captures == 0)
        }

        @Test func itCanBeLeftOut() throws {
            let plain = try CUDABackend(
                cache: KernelCache(folder: URL(fileURLWithPath: gpu.folder)),
                fastPaths: Set(FastPath.allCases).subtracting([.graphs]), libraries: [gpu.folder])
            #expect(plain.repetition("work") == nil)
        }

        /// Films: the second one's steps and chunks are one call each, but for those that are not like others.
        @Test func aFilmIsFewCalls() throws {
            let scratch = try ScratchFolder()
            try TinyModel.write(in: scratch.url, layers: 2)
            let library = ModelLibrary(directories: [scratch.url])
            let generator = Generator(
                library: library, backend: backend, options: Generator.Options(backend, host: 1 << 30))
            var request = try library.model(TinyModel.name).request(prompt: "a cat", mode: .t2v)
            (request.size, request.frameCount, request.steps) = (FrameSize(width: 16, height: 16), 17, 4)
            func film() throws -> FakeGPU.State {
                try seen { _ = try generator.generate(request, sink: CountingSink()) }
            }
            let first = try film()
            request.prompt = "a dog"
            let second = try film()
            // 4 steps; 5 latent frames, of which the first two are apart.
            #expect(second.graphLaunches == 4 + 3 && second.graphs == 0 && second.updates == 2)
            #expect(second.launches * 3 < first.launches + first.noted, "\(second.launches) of \(first.launches)")
            #expect(second.used == first.used)
        }
    }
}
