import Foundation
import Tensors

extension CPUBackend {
    public func permute(_ source: Tensor, axes: [Int], into output: Tensor) {
        precondition(axes.sorted() == Array(0..<source.shape.count) && axes.count <= 8, "axes \(axes)")
        precondition(
            output.shape == axes.map { source.shape[$0] } && output.dtype == source.dtype,
            "permute \(source.shape) by \(axes) into \(output.shape)")
        guard source.elementCount > 0 else { return }
        var strides = [Int](repeating: 1, count: source.shape.count)
        for axis in stride(from: strides.count - 2, through: 0, by: -1) {
            strides[axis] = strides[axis + 1] * source.shape[axis + 1]
        }
        var (extents, steps) = merged(axes.map { source.shape[$0] }, axes.map { strides[$0] })
        let inner = extents.removeLast()
        let innerStep = steps.removeLast()
        let outer = extents.reduce(1, *)
        let (from, to) = (source.pointer, output.pointer)
        func move<Element: BitwiseCopyable>(_ type: Element.Type) {
            let (from, to) = (from.assumingMemoryBound(to: type), to.assumingMemoryBound(to: type))
            pool.ranges(outer, grain: rowGrain(inner)) { range in
                for row in range {
                    var (rest, offset) = (row, 0)
                    for axis in stride(from: extents.count - 1, through: 0, by: -1) {
                        offset += rest % extents[axis] * steps[axis]
                        rest /= extents[axis]
                    }
                    let out = to + row * inner
                    let start = from + offset
                    if innerStep == 1 {
                        out.update(from: start, count: inner)
                    } else {
                        for i in 0..<inner { out[i] = start[i * innerStep] }
                    }
                }
            }
        }
        switch source.dtype.byteCount {
        case 1: move(UInt8.self)
        case 2: move(UInt16.self)
        case 4: move(UInt32.self)
        default: move(UInt64.self)
        }
    }

    /// Neighbouring output axes that are neighbours in the source too become one; axes of extent 1 go.
    private func merged(_ extents: [Int], _ steps: [Int]) -> ([Int], [Int]) {
        var result: (extents: [Int], steps: [Int]) = ([], [])
        for (extent, step) in zip(extents, steps) where extent > 1 {
            if let lastExtent = result.extents.last, let lastStep = result.steps.last, lastStep == extent * step {
                result.extents[result.extents.count - 1] = lastExtent * extent
                result.steps[result.steps.count - 1] = step
            } else {
                result.extents.append(extent)
                result.steps.append(step)
            }
        }
        return result.extents.isEmpty ? ([1], [1]) : result
    }
}
