import CKernels
import Foundation
import Tensors

extension CPUBackend {
    public func gather(_ table: Tensor, ids: Tensor, into output: Tensor) {
        let (vocabulary, dim) = table.matrix
        precondition(ids.dtype == .i32 && output.matrix == (ids.elementCount, dim), "gather into \(output.shape)")
        let indices = ids.pointer.assumingMemoryBound(to: Int32.self)
        for row in 0..<ids.elementCount {
            let index = Int(indices[row])
            precondition(index >= 0 && index < vocabulary, "row \(index) of \(vocabulary)")
            let out = output.floats + row * dim
            switch table.dtype {
            case .f32: memcpy(out, table.floats + index * dim, dim * 4)
            case .bf16:
                kernels.bf16_to_f32(table.pointer.assumingMemoryBound(to: UInt16.self) + index * dim, out, dim)
            case .f16:
                kernels.f16_to_f32(table.pointer.assumingMemoryBound(to: UInt16.self) + index * dim, out, dim)
            default: preconditionFailure("gather of \(table.dtype)")
            }
        }
    }

    public func gatherColumns(_ table: Tensor, ids: Tensor, into output: Tensor) {
        let ((rows, columns), count) = (table.matrix, ids.elementCount)
        precondition(
            ids.dtype == .i32 && table.dtype == .f32 && output.dtype == .f32 && output.elementCount == columns * count,
            "gather into \(output.shape)")
        let (from, to) = (table.floats, output.floats)
        let indices = ids.pointer.assumingMemoryBound(to: Int32.self)
        for i in 0..<count { precondition(indices[i] >= 0 && indices[i] < rows, "row \(indices[i]) of \(rows)") }
        pool.ranges(columns, grain: max(1, (1 << 16) / max(1, count))) {
            for column in $0 {
                let line = to + column * count
                for i in 0..<count { line[i] = from[Int(indices[i]) * columns + column] }
            }
        }
    }

    public func add(_ y: Tensor, to x: Tensor) {
        let (to, from, kernels) = (x.floats, y.floats, self.kernels)
        if y.elementCount == x.elementCount {
            return pool.ranges(x.elementCount, grain: 1 << 16) {
                kernels.add(to + $0.lowerBound, from + $0.lowerBound, $0.count)
            }
        }
        let (rows, dim) = x.matrix
        precondition(y.elementCount == dim, "add \(y.shape) to \(x.shape)")
        pool.ranges(rows, grain: rowGrain(dim)) {
            for row in $0 { kernels.add(to + row * dim, from, dim) }
        }
    }

    public func multiply(_ x: Tensor, by y: Tensor) {
        precondition(y.elementCount == x.elementCount, "multiply \(x.shape) by \(y.shape)")
        let (to, from, kernels) = (x.floats, y.floats, self.kernels)
        pool.ranges(x.elementCount, grain: 1 << 16) {
            kernels.multiply(to + $0.lowerBound, from + $0.lowerBound, $0.count)
        }
    }

    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) {
        let (rows, dim) = x.matrix
        precondition(y.elementCount == x.elementCount && gate.elementCount == dim, "add \(y.shape) to \(x.shape)")
        let (to, from, factor, kernels) = (x.floats, y.floats, gate.floats, self.kernels)
        pool.ranges(rows, grain: rowGrain(dim)) {
            for row in $0 { kernels.add_gated(to + row * dim, from + row * dim, factor, dim) }
        }
    }

    public func activate(_ x: Tensor, _ activation: Activation) {
        let (to, kernels, code) = (x.floats, self.kernels, activation.kernelCode)
        pool.ranges(x.elementCount, grain: 1 << 14) { kernels.activate(to + $0.lowerBound, $0.count, code) }
    }

    public func upsampleNearest(_ x: Tensor, into output: Tensor) {
        precondition(x.shape.count == 4, "upsample \(x.shape)")
        let (frames, height, width, channels) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
        precondition(output.shape == [frames, 2 * height, 2 * width, channels], "upsample into \(output.shape)")
        let (from, to, bytes) = (x.floats, output.floats, channels * 4)
        pool.ranges(frames * height, grain: rowGrain(width * channels * 4)) {
            for row in $0 {
                var source = from + row * width * channels
                let start = to + row * 4 * width * channels
                var out = start
                for _ in 0..<width {
                    memcpy(out, source, bytes)
                    memcpy(out + channels, source, bytes)
                    out += 2 * channels
                    source += channels
                }
                memcpy(out, start, 2 * width * bytes)
            }
        }
    }

    public func quantizeFrames(_ x: Tensor, into output: Tensor) {
        precondition(x.elementCount == output.elementCount && output.dtype == .u8, "frames \(x.shape)")
        let (from, kernels) = (x.floats, self.kernels)
        let to = output.pointer.assumingMemoryBound(to: UInt8.self)
        pool.ranges(x.elementCount, grain: 1 << 16) {
            kernels.quantize_frames(from + $0.lowerBound, to + $0.lowerBound, $0.count)
        }
    }
}
