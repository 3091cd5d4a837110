import Checkpoints
import Foundation
import Tensors

/// Full-size weights of random bf16 values in memory: no download, no disk.
///
/// Tensors of one deviation share one piece of memory, so that a model of billions of parameters needs a few hundred
/// megabytes; a backend copies what it is given and cannot tell.
public final class RandomWeights {
    private var pieces: [WeightDistribution: HostTensor] = [:]
    /// Values that are really drawn; larger tensors (tables that are only looked up) are zero beyond.
    private static let drawn = 160 << 20

    public init() {}

    /// All tensors of a layout, by name.
    public func tensors(_ entries: [SafetensorsWriter.Entry]) -> [String: HostTensor] {
        var most: [WeightDistribution: Int] = [:]
        for entry in entries {
            let key = WeightDistribution(of: entry)
            most[key] = max(most[key] ?? 0, entry.shape.reduce(1, *))
        }
        for (key, count) in most where (pieces[key]?.elementCount ?? 0) < count { pieces[key] = Self.piece(key, count) }
        return Dictionary(
            uniqueKeysWithValues: entries.compactMap { entry in
                guard let piece = pieces[WeightDistribution(of: entry)] else { return nil }
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

    private static func piece(_ distribution: WeightDistribution, _ count: Int) -> HostTensor {
        let storage = HostStorage(byteCount: 2 * count)
        let values = storage.memory.assumingMemoryBound(to: UInt16.self)
        let run = distribution.pattern
        let filled = min(count, drawn)
        for start in stride(from: 0, to: filled, by: run.count) {
            for i in 0..<min(run.count, filled - start) { values[start + i] = run[i] }
        }
        if filled < count { values[filled...].update(repeating: 0) }
        return HostTensor(
            name: "", shape: [count], dtype: .bf16, bytes: UnsafeRawBufferPointer(storage.memory), owner: storage)
    }
}
