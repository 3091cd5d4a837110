import Tensors

/// The last two frames a causal convolution over three was given; before the first ones there were zeros.
final class FrameHistory {
    /// `[2, H, W, C]`.
    private let frames: Tensor
    private var isEmpty = true

    init(_ frames: Tensor) { self.frames = frames }

    /// What stands before the next frames; nil for zeros.
    var tensor: Tensor? { isEmpty ? nil : frames }

    /// Takes note of the frames `x` `[T, H, W, C]` that were just convolved.
    func append(_ x: Tensor, _ backend: any Backend) {
        let count = x.shape[0]
        if count >= 2 {
            backend.copy(x.rows(count - 2..<count), into: frames)
        } else {
            if isEmpty {
                backend.fill(frames.rows(0..<1), with: 0)
            } else {
                backend.copy(frames.rows(1..<2), into: frames.rows(0..<1))
            }
            backend.copy(x, into: frames.rows(1..<2))
        }
        isEmpty = false
    }
}
