import Checkpoints
import Foundation
import Tensors

/// Weights files of random values, made on the spot, so that full-size models can be measured without a download.
public enum RandomCheckpoint {
    /// Writes bf16 values, each tensor's from its `WeightDistribution`.
    /// - Throws: `CheckpointError`.
    public static func write(_ entries: [SafetensorsWriter.Entry], to path: String) throws {
        let writer = try SafetensorsWriter(path: path, entries: entries)
        for entry in entries {
            let block = WeightDistribution(of: entry).pattern
            var remaining = entry.byteCount
            while remaining > 0 {
                let count = min(remaining, block.count * 2)
                try block.withUnsafeBytes { try writer.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                remaining -= count
            }
        }
        try writer.finish()
    }
}
