import CKernels
import Foundation

/// Which instruction set the kernels use.
public enum CPULevel: String, Sendable, CaseIterable {
    /// 16-byte vectors: any x86-64, and NEON.
    case baseline
    case avx2
    /// AVX-512 F, BW, DQ, VL.
    case avx512
    /// AVX-512 with VNNI.
    case vnni

    /// The levels this machine can run, worst first.
    public static var available: [CPULevel] { allCases.filter { dk_kernels_of($0.kernelLevel) != nil } }

    /// The best level, or the one that `DROPREEL_CPU_LEVEL` names if this machine can run it.
    public static var preferred: CPULevel {
        let forced = ProcessInfo.processInfo.environment["DROPREEL_CPU_LEVEL"].flatMap(CPULevel.init(rawValue:))
        let levels = available
        return forced.flatMap { levels.contains($0) ? $0 : nil } ?? levels.last ?? .baseline
    }

    var kernelLevel: dk_level {
        switch self {
        case .baseline: DK_BASELINE
        case .avx2: DK_AVX2
        case .avx512: DK_AVX512
        case .vnni: DK_VNNI
        }
    }

    var kernels: dk_kernels {
        (dk_kernels_of(kernelLevel) ?? dk_kernels_of(DK_BASELINE)).pointee
    }
}
