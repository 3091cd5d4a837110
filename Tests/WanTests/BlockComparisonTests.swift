import CPUBackend
import Checkpoints
import Sampling
import SelfTest
import Tensors
import TestSupport
import Testing
import Wan

/// The comparison that a GPU is put to at full size, here with a small network on the CPU.
struct BlockComparisonTests {
    private let size = BlockComparison.Size(dim: 256, headCount: 2, hiddenDim: 384, layerCount: 3, textDim: 64)

    private func geometry() throws -> LatentGeometry {
        try LatentGeometry(frameCount: 5, size: FrameSize(width: 48, height: 32))
    }

    /// Of a deviation that keeps what passes through about as large as it was.
    private func weights(_ entries: [SafetensorsWriter.Entry]) -> [String: HostTensor] {
        var random = SplitMix(11)
        return Dictionary(
            uniqueKeysWithValues: entries.map { entry in
                let scale = 1 / Float(entry.shape.last ?? 1).squareRoot()
                let values = random.values(entry.shape.reduce(1, *)).map { $0 * scale }
                return (entry.name, HostTensor(name: entry.name, shape: entry.shape, values: values))
            })
    }

    @Test func theSameArithmeticPassesEverywhere() throws {
        var places: [String] = []
        let counts = try BlockComparison(size, geometry: geometry()).run(
            CPUBackend(threads: 1, level: .baseline), against: CPUBackend(threads: 2), weights: weights
        ) {
            places.append($0.place)
            #expect($0.passed && $0.error < 1e-5, "\($0.description)")
        }
        #expect(places == ["patch embedding", "block 0", "block 1", "block 2", "head"])
        #expect(counts == (5, 0))
    }

    /// Linear layers in eight bits are another arithmetic, and only blocks have such.
    @Test func coarserArithmeticFailsWhereItIs() throws {
        var failed: [String] = []
        let counts = try BlockComparison(size, geometry: geometry()).run(
            CPUBackend(threads: 1), against: CPUBackend(threads: 2), precision: .int8, limits: .stored,
            weights: weights
        ) { if !$0.passed { failed.append($0.place) } }
        #expect(failed == ["block 0", "block 1", "block 2"])
        #expect(counts == (2, 3))
    }

    @Test func eightBitsAreHeldToTheirOwnLimit() throws {
        var places: [String: Double] = [:]
        let counts = try BlockComparison(size, geometry: geometry()).run(
            CPUBackend(threads: 1), against: CPUBackend(threads: 2), precision: .int8, weights: weights
        ) { places[$0.place] = $0.limit }
        #expect(counts == (5, 0))
        #expect(places["head"] == 1e-4 && places["block 1"] == 0x1p-5)
    }
}
