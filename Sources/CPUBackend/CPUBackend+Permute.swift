import Foundation
import Tensors

extension CPUBackend {
    public func permute(_ source: Tensor, axes: [Int], into output: Tensor) {
        let plan = PermutationPlan(source, axes: axes, into: output)
        guard source.elementCount > 0 else { return }
        var (extents, steps) = (plan.extents, plan.steps)
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
}
