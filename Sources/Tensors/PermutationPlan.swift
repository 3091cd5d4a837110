/// How elements move when the axes of a tensor change places: what every backend's `permute` walks over.
public struct PermutationPlan: Sendable, Hashable {
    /// Extents of the output's axes; at least one.
    public var extents: [Int]
    /// Elements of the source from one index of each output axis to the next.
    public var steps: [Int]

    /// Neighbouring output axes that are neighbours in the source too become one; axes of extent 1 go.
    ///
    /// - Parameters:
    ///   - source: not empty.
    ///   - axes: `output.shape[n] == source.shape[axes[n]]`; up to 8.
    public init(_ source: Tensor, axes: [Int], into output: Tensor) {
        precondition(axes.sorted() == Array(0..<source.shape.count) && axes.count <= 8, "axes \(axes)")
        precondition(
            output.shape == axes.map { source.shape[$0] } && output.dtype == source.dtype,
            "permute \(source.shape) by \(axes) into \(output.shape)")
        var strides = [Int](repeating: 1, count: source.shape.count)
        for axis in stride(from: strides.count - 2, through: 0, by: -1) {
            strides[axis] = strides[axis + 1] * source.shape[axis + 1]
        }
        (extents, steps) = ([], [])
        for axis in axes where source.shape[axis] > 1 {
            let (extent, step) = (source.shape[axis], strides[axis])
            if let lastExtent = extents.last, let lastStep = steps.last, lastStep == extent * step {
                extents[extents.count - 1] = lastExtent * extent
                steps[steps.count - 1] = step
            } else {
                extents.append(extent)
                steps.append(step)
            }
        }
        if extents.isEmpty { (extents, steps) = ([1], [1]) }
    }
}
