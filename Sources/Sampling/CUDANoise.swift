import Dispatch

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The GPU whose stream of `torch.randn` is drawn. Beyond `multiprocessors * 256 * (threadsPerMultiprocessor / 256)`
/// values the stream depends on it; below, it does not.
public struct NoiseDevice: Sendable, Hashable, Codable {
    public var multiprocessors: Int
    public var threadsPerMultiprocessor: Int

    public init(multiprocessors: Int, threadsPerMultiprocessor: Int) {
        self.multiprocessors = multiprocessors
        self.threadsPerMultiprocessor = threadsPerMultiprocessor
    }

    /// H100 SXM: 132 multiprocessors of 2048 threads.
    public static let standard = NoiseDevice(multiprocessors: 132, threadsPerMultiprocessor: 2048)
}

/// Standard normal float32 values as a CUDA generator of torch draws them, the same on every host.
///
/// Source: PyTorch aten/src/ATen/native/cuda/DistributionTemplates.h, cuRAND `curand_normal4`.
public struct CUDANoise: Sendable {
    public let seed: UInt64
    public let device: NoiseDevice
    /// The generator's position, in 32-bit draws a thread; a fresh generator stands at 0.
    public private(set) var offset: UInt64 = 0

    public init(seed: UInt64, device: NoiseDevice = .standard) {
        self.seed = seed
        self.device = device
    }

    /// Threads torch starts for `count` values.
    public func threads(for count: Int) -> Int {
        256 * min((count + 255) / 256, device.multiprocessors * (device.threadsPerMultiprocessor / 256))
    }

    /// The next `count` values: one call of `torch.randn` of that many elements.
    public mutating func draw(_ count: Int) -> [Float] {
        guard count > 0 else { return [] }
        let threads = threads(for: count)
        let rounds = (count - 1) / (4 * threads) + 1
        let key = SIMD2(UInt32(truncatingIfNeeded: seed), UInt32(truncatingIfNeeded: seed >> 32))
        let start = offset / 4
        let values = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            // Every thread of the GPU draws for itself, so any of its threads may be taken together: each piece writes values
            // that no other one does.
            nonisolated(unsafe) let target = buffer
            let pieces = max(1, min(rounds * threads / Self.pieceThreads, threads / 256))
            DispatchQueue.concurrentPerform(iterations: pieces) { piece in
                let range = threads * piece / pieces..<threads * (piece + 1) / pieces
                for round in 0..<rounds {
                    Self.draw(
                        range, of: threads, from: 4 * threads * round, position: start + UInt64(round), key: key,
                        into: target, count: count)
                }
            }
            initialized = count
        }
        offset += UInt64(4 * rounds)
        return values
    }

    /// Threads that are worth a task of their own.
    private static let pieceThreads = 8192

    /// What some of the GPU's threads draw in one round: four values each, `threads` apart from `base` on.
    private static func draw(
        _ range: Range<Int>, of threads: Int, from base: Int, position: UInt64, key: SIMD2<UInt32>,
        into buffer: UnsafeMutableBufferPointer<Float>, count: Int
    ) {
        let (low, high) = (UInt32(truncatingIfNeeded: position), UInt32(truncatingIfNeeded: position >> 32))
        for thread in range where base + thread < count {
            let bits = Philox.block(
                counter: SIMD4(low, high, UInt32(truncatingIfNeeded: thread), UInt32(UInt64(thread) >> 32)), key: key)
            let index = base + thread
            let first = normalPair(bits[0], bits[1])
            buffer[index] = first.0
            if index + threads < count { buffer[index + threads] = first.1 }
            guard index + 2 * threads < count else { continue }
            let second = normalPair(bits[2], bits[3])
            buffer[index + 2 * threads] = second.0
            if index + 3 * threads < count { buffer[index + 3 * threads] = second.1 }
        }
    }

    /// Box-Muller in float32: (s sin v, s cos v) with u in (0, 1], v in (0, 2 pi].
    static func normalPair(_ x: UInt32, _ y: UInt32) -> (Float, Float) {
        let scale: Float = 2.3283064e-10
        let turn = scale * 6.2831855
        let u = (scale / 2).addingProduct(Float(x), scale)
        let v = (turn / 2).addingProduct(Float(y), turn)
        let s = (-2 * logf(u)).squareRoot()
        return (s * sinf(v), s * cosf(v))
    }
}
