import Checkpoints
import Foundation
import Tensors

/// Full-size weights of random bf16 values in memory: no download, no disk.
///
/// Tensors of one deviation share one piece of memory, so that a model of billions of parameters needs a few hundred
/// megabytes; a backend copies what it is given and cannot tell.
final class RandomWeights {
    private var pieces: [Distribution: HostTensor] = [:]
    /// Values that are really drawn; larger tensors (tables that are only looked up) are zero beyond.
    private static let drawn = 160 << 20

    private struct Distribution: Hashable {
        let centre: Float
        let deviation: Float
    }

    /// All tensors of a layout, by name.
    func tensors(_ entries: [SafetensorsWriter.Entry]) -> [String: HostTensor] {
        var most: [Distribution: Int] = [:]
        for entry in entries {
            let key = Self.distribution(entry)
            most[key] = max(most[key] ?? 0, entry.shape.reduce(1, *))
        }
        for (key, count) in most where (pieces[key]?.elementCount ?? 0) < count { pieces[key] = Self.piece(key, count) }
        return Dictionary(
            uniqueKeysWithValues: entries.compactMap { entry in
                guard let piece = pieces[Self.distribution(entry)] else { return nil }
                let count = entry.shape.reduce(1, *)
                let bytes = UnsafeRawBufferPointer(rebasing: piece.bytes[..<(2 * count)])
                // The piece lives as long as any tensor over it.
                return (
                    entry.name,
                    HostTensor(name: entry.name, shape: entry.shape, dtype: .bf16, bytes: bytes, owner: Owner(piece))
                )
            })
    }

    private final class Owner {
        let piece: HostTensor
        init(_ piece: HostTensor) { self.piece = piece }
    }

    private static func distribution(_ entry: SafetensorsWriter.Entry) -> Distribution {
        let fanIn = max(1, entry.shape.dropFirst().reduce(1, *))
        let isScale = entry.name.hasSuffix("gamma") || entry.name.contains("norm") && entry.name.hasSuffix("weight")
        if isScale { return Distribution(centre: 1, deviation: 0.02) }
        let isMatrix = entry.shape.count > 1 && !entry.name.hasSuffix("modulation")
        return Distribution(centre: 0, deviation: isMatrix ? (1 / Float(fanIn)).squareRoot() : 0.02)
    }

    private static func piece(_ distribution: Distribution, _ count: Int) -> HostTensor {
        let storage = HostStorage(byteCount: 2 * count)
        let values = storage.memory.assumingMemoryBound(to: UInt16.self)
        // A run of normal-like values, repeated with a length that is prime to every row's.
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        let run = (0..<524_287).map { _ -> UInt16 in
            var sum: Float = 0
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum += Float(state >> 40) * 0x1p-24 - 0.5
            }
            return UInt16((distribution.centre + sum * distribution.deviation * 1.7320508).bitPattern >> 16)
        }
        let filled = min(count, drawn)
        for start in stride(from: 0, to: filled, by: run.count) {
            for i in 0..<min(run.count, filled - start) { values[start + i] = run[i] }
        }
        if filled < count { values[filled...].update(repeating: 0) }
        return HostTensor(
            name: "", shape: [count], dtype: .bf16, bytes: UnsafeRawBufferPointer(storage.memory), owner: storage)
    }
}
