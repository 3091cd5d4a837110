import CPUBackend
import CUDABackend
import Checkpoints
import Foundation
import Media
import Sampling
import Tensors
import TestSupport
import Testing

@testable import Generation

/// Films of full-size models on cards of some size: what is allocated, against what the formula said.
extension FakeGPUTests {
    @Suite(.serialized) struct SimulatedCardTests {
        private let gpu: FakeGPU
        private let zeros = ZeroWeights()

        init() throws { gpu = try FakeGPU() }

        struct Case: Sendable, CustomTestStringConvertible {
            let card: Int
            let kind: FullSizeModel.Kind
            let resolution: String
            /// What must come out; nil if the film does not fit.
            let networks: MemoryPlan.Networks?
            let precision: String

            var testDescription: String { "\(kind.rawValue) \(resolution) on \(card) GB" }
        }

        private func generator(_ kind: FullSizeModel.Kind, card: Int) throws -> (Generator, CUDABackend) {
            let backend = try gpu.backend(limit: card << 30)
            return (try generator(kind, on: backend), backend)
        }

        private func generator(_ kind: FullSizeModel.Kind, on backend: CUDABackend, host: Int = 128 << 30) throws
            -> Generator
        {
            let model = try FullSizeModel(kind) { entries in
                Dictionary(uniqueKeysWithValues: entries.map { ($0.name, zeros.tensor($0.name, $0.shape, $0.dtype)) })
            }
            return try Generator(model, backend: backend, options: Generator.Options(backend, host: host))
        }

        private func request(_ generator: Generator, _ kind: FullSizeModel.Kind, _ resolution: String) throws
            -> GenerationRequest
        {
            let model = generator.library.models[0]
            var request = try model.request(prompt: "a prompt", mode: kind.mode)
            request.size = try model.size(resolution: resolution)
            request.mayQuantize = true
            if kind.mode == .i2v { request.image = RGBImage(width: 2, height: 1, pixels: [0, 0, 0, 255, 255, 255]) }
            return request
        }

        /// What the articles say that each card runs, and what this program does on it.
        static let table = [
            Case(card: 12, kind: .t2v13B, resolution: "480p", networks: .resident, precision: "int8"),
            Case(card: 16, kind: .t2v13B, resolution: "480p", networks: .resident, precision: "int8"),
            Case(card: 12, kind: .t2v13B, resolution: "720p", networks: .resident, precision: "int8"),
            Case(card: 24, kind: .t2v13B, resolution: "720p", networks: .resident, precision: "int8"),
            Case(card: 12, kind: .t2v14B, resolution: "480p", networks: .streamed, precision: "int8"),
            Case(card: 16, kind: .t2v14B, resolution: "480p", networks: .streamed, precision: "int8"),
            Case(card: 16, kind: .i2v14B, resolution: "480p", networks: .streamed, precision: "int8"),
            Case(card: 24, kind: .t2v14B, resolution: "480p", networks: .resident, precision: "int8"),
            Case(card: 24, kind: .t2v14B, resolution: "720p", networks: .resident, precision: "int8"),
            Case(card: 24, kind: .i2v14B, resolution: "480p", networks: .exchanged, precision: "int8"),
            Case(card: 12, kind: .i2v14B, resolution: "480p", networks: .streamed, precision: "int8"),
            Case(card: 40, kind: .t2v14B, resolution: "720p", networks: .resident, precision: "int8"),
            Case(card: 40, kind: .i2v14B, resolution: "720p", networks: .resident, precision: "int8"),
            Case(card: 48, kind: .t2v14B, resolution: "720p", networks: .resident, precision: "stored"),
            Case(card: 80, kind: .t2v14B, resolution: "720p", networks: .resident, precision: "stored"),
            Case(card: 80, kind: .i2v14B, resolution: "720p", networks: .resident, precision: "stored"),
        ]

        @Test(arguments: table) func everyCardHasItsPlan(_ one: Case) throws {
            let (generator, _) = try generator(one.kind, card: one.card)
            let request = try request(generator, one.kind, one.resolution)
            guard let networks = one.networks else {
                let error = #expect(throws: GenerationError.self) { try generator.memoryPlan(request) }
                #expect(error?.code == .memory && error?.message.contains("are free") == true)
                return
            }
            let plan = try generator.memoryPlan(request)
            #expect(plan.networks == networks && plan.linearPrecision == one.precision, "\(plan.text)")
            #expect(plan.bytes <= one.card << 30)
        }

        /// Runs them, with few frames where that shows the same.
        @Test(arguments: [
            (12, FullSizeModel.Kind.t2v13B, "480p", 21), (24, .t2v13B, "720p", 5), (12, .t2v14B, "480p", 9),
            (24, .t2v14B, "480p", 5), (12, .i2v14B, "480p", 9), (80, .i2v14B, "480p", 5),
        ]) func whatIsAllocatedIsWhatTheFormulaSaid(
            card: Int, kind: FullSizeModel.Kind, resolution: String, frames: Int
        ) throws {
            let before = gpu.state
            func plan(_ limit: Int, makes: Bool) throws -> MemoryPlan {
                let backend = try gpu.backend(limit: limit)
                let generator = try generator(kind, on: backend)
                var request = try request(generator, kind, resolution)
                (request.frameCount, request.steps, request.boundary) = (frames, 2, 0.95)
                guard makes else { return try generator.memoryPlan(request) }
                let sink = CountingSink()
                let report = try generator.generate(request, sink: sink).report
                #expect(sink.count == frames && sink.isFinished)
                let (peak, told) = (backend.memoryUsage.peak, report.memoryPlan.text)
                #expect(peak <= report.memoryPlan.bytes, "\(told): allocated \(MemoryEstimate.text(peak))")
                #expect(
                    Double(report.memoryPlan.bytes) <= 1.25 * Double(peak),
                    "\(told): allocated no more than \(MemoryEstimate.text(peak))")
                return report.memoryPlan
            }
            let chosen = try plan(card << 30, makes: false)
            #expect(try plan(card << 30, makes: true) == chosen)
            let after = gpu.state
            #expect(after.used == before.used && after.pinned == before.pinned && after.mistakes == before.mistakes)
        }

        @Test func whatFitsNowhereIsToldBeforeAnyWork() throws {
            let (generator, _) = try generator(.t2v14B, card: 4)
            let request = try request(generator, .t2v14B, "720p")
            var stages: [GenerationStage] = []
            let error = #expect(throws: GenerationError.self) {
                _ = try generator.generate(request, sink: CountingSink()) {
                    stages.append($0.stage)
                    return true
                }
            }
            #expect(error?.code == .memory && stages.isEmpty)
            #expect(error?.message.hasPrefix("needs ") == true && error?.message.hasSuffix("4 GiB are free") == true)
        }

        /// What somebody asked for is not decided by the card.
        @Test func quantisationFollowsTheCardUnlessAsked() throws {
            for (card, asked, expected) in [
                (24, nil, "int8"), (80, nil, "stored"), (24, false, "float"), (80, true, "int8"),
            ] {
                let (generator, _) = try generator(.t2v13B, card: card)
                var request = try request(generator, .t2v13B, "480p")
                if let asked { (request.mayQuantize, request.linearPrecision) = (false, asked ? .int8 : .float) }
                #expect(try generator.memoryPlan(request).linearPrecision == expected)
            }
        }

        /// Without host memory for what would wait there, a network is read again instead.
        @Test func scarceHostMemoryIsRespected() throws {
            let backend = try gpu.backend(limit: 24 << 30)
            let generator = try generator(.i2v14B, on: backend, host: 4 << 30)
            let plan = try generator.memoryPlan(request(generator, .i2v14B, "480p"))
            #expect(plan.networks == .inTurns && plan.hostBytes <= 4 << 30)
        }
    }
}
