import Checkpoints
import Foundation
import Tensors

/// Weights files of random values, made on the spot, so that full-size models can be measured without a download.
public enum RandomCheckpoint {
    /// Writes bf16 values, normal-like with a deviation that keeps activations in range.
    /// - Throws: `CheckpointError`.
    public static func write(_ entries: [SafetensorsWriter.Entry], to path: String) throws {
        let writer = try SafetensorsWriter(path: path, entries: entries)
        for entry in entries {
            let fanIn = max(1, entry.shape.dropFirst().reduce(1, *))
            let isMatrix =
                entry.shape.count > 1 && !entry.name.hasSuffix("modulation") && !entry.name.hasSuffix("gamma")
            let (centre, deviation): (Float, Float) =
                if isMatrix {
                    (0, (1 / Float(fanIn)).squareRoot())
                } else if entry.name.contains("norm") && entry.name.hasSuffix("weight") || entry.name.hasSuffix("gamma")
                {
                    (1, 0.02)
                } else {
                    (0, 0.02)
                }
            let block = pattern(centre: centre, deviation: deviation)
            var remaining = entry.byteCount
            while remaining > 0 {
                let count = min(remaining, block.count * 2)
                try block.withUnsafeBytes { try writer.append(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
                remaining -= count
            }
        }
        try writer.finish()
    }

    /// A mebibyte of bf16 values; its length is prime to every row's, so that rows differ.
    private static func pattern(centre: Float, deviation: Float) -> [UInt16] {
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        return (0..<524_287).map { _ in
            var sum: Float = 0
            for _ in 0..<4 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                sum += Float(state >> 40) * 0x1p-24 - 0.5
            }
            return UInt16((centre + sum * deviation * 1.7320508).bitPattern >> 16)
        }
    }
}
