import COpenBLAS
import CPUBackend
import Foundation

/// OpenBLAS's sgemm: what dense work on this machine is measured against.
///
/// Rows are split over the backend's threads and each part runs OpenBLAS with one thread: its own threads lose half
/// their rate on a busy machine.
public struct SgemmYardstick {
    /// The kernels OpenBLAS chose: "Zen", "SkylakeX".
    public static var core: String { String(cString: openblas_get_corename()) }

    /// Starts this program again with `OPENBLAS_CORETYPE` set, if OpenBLAS does not know this CPU and fell back to
    /// kernels without AVX; otherwise, and on the second time, does nothing.
    public static func restartIfCoreIsUnknown() {
        let fallbacks = ["Prescott", "Core2", "Generic", "Nehalem", "Dunnington", "Penryn"]
        guard fallbacks.contains(core), getenv("OPENBLAS_CORETYPE") == nil else { return }
        let levels = CPULevel.available
        guard levels.contains(.avx2) else { return }
        setenv("OPENBLAS_CORETYPE", levels.contains(.avx512) ? "SkylakeX" : "Haswell", 1)
        var arguments = CommandLine.arguments.map { strdup($0) } + [nil]
        execv("/proc/self/exe", &arguments)
    }

    /// The better of two products with the shapes of transformer layers.
    public static func rate(on backend: CPUBackend, budget: Double = 0.7) -> SgemmRate {
        openblas_set_num_threads(1)
        let rates = [
            product(on: backend, m: 3024, n: 1536, k: 384, budget),
            product(on: backend, m: 1536, n: 1536, k: 1536, budget),
        ]
        return SgemmRate(
            gigaflops: rates.map(\.gigaflops).max() ?? 0,
            perProcessorSecond: rates.map(\.perProcessorSecond).max() ?? 0)
    }

    private static func product(on backend: CPUBackend, m: Int, n: Int, k: Int, _ budget: Double) -> SgemmRate {
        let (a, b) = (Buffer(m * k), Buffer(n * k))
        let c = Buffer(m * n)
        let parts = backend.threadCount
        let step = (m + parts - 1) / parts
        let time = Stopwatch.measure(budget: budget) {
            backend.parallel(parts) { part in
                let (first, rows) = (part * step, min(step, m - part * step))
                cblas_sgemm(
                    CblasRowMajor, CblasNoTrans, CblasTrans, Int32(rows), Int32(n), Int32(k), 1,
                    a.memory + first * k, Int32(k), b.memory, Int32(k), 0, c.memory + first * n, Int32(n))
            }
        }
        let work = 2 * Double(m) * Double(n) * Double(k) / 1e9
        return SgemmRate(gigaflops: work / time.seconds, perProcessorSecond: work / time.processorSeconds)
    }

    private final class Buffer {
        let memory: UnsafeMutablePointer<Float>

        init(_ count: Int) {
            memory = .allocate(capacity: count)
            for i in 0..<count { memory[i] = Float(i % 17) * 0.1 - 0.8 }
        }

        deinit { memory.deallocate() }
    }
}
