import Checkpoints
import Foundation
import Tensors

/// Weights files of random values, made on the spot, so that full-size models can be measured without a download.
public enum RandomCheckpoint {
    /// Writes bf16 values, each tensor's from its `WeightDistribution`.
    ///
    /// - Parameters:
    ///   - isLasting: whether to wait for the disk.
    ///   - own: a tensor's values where it wants others.
    /// - Throws: `CheckpointError`.
    public static func write(
        _ entries: [SafetensorsWriter.Entry], to path: String, isLasting: Bool = true,
        own: (SafetensorsWriter.Entry) -> [UInt16]? = { _ in nil }
    ) throws {
        let writer = try SafetensorsWriter(path: path, entries: entries)
        var patterns: [WeightDistribution: [UInt16]] = [:]
        for entry in entries {
            let key = WeightDistribution(of: entry)
            let special = own(entry)
            let block = special ?? patterns[key] ?? key.pattern
            if special == nil { patterns[key] = block }
            var remaining = entry.byteCount
            while remaining > 0 {
                let count = min(remaining, block.count * 2)
                try block.withUnsafeBytes { try writer.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                remaining -= count
            }
        }
        try writer.finish(isLasting: isLasting)
    }
}
