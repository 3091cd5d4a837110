import Foundation

/// A draw of noise on a thread of its own, beside whatever its maker does meanwhile.
final class NoiseAhead: @unchecked Sendable {
    // Invariant for `@unchecked Sendable`: `noise` and `values` belong to the thread until it has signalled `done`, then to
    // the caller of `finish`.
    private var noise: CUDANoise
    private var values: [Float] = []
    private let done = DispatchSemaphore(value: 0)

    /// Begins drawing `count` values.
    init(_ noise: CUDANoise, count: Int) {
        self.noise = noise
        let thread = Thread { [self] in
            values = self.noise.draw(count)
            done.signal()
        }
        thread.name = "noise"
        thread.start()
    }

    /// Waits for the values; the generator stands behind them.
    func finish() -> (values: [Float], noise: CUDANoise) {
        done.wait()
        return (values, noise)
    }
}
