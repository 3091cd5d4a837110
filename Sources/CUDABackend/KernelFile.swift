import CUDAKernels

/// The files of kernels, each compiled to one module.
enum KernelFile: String, CaseIterable {
    case elements, norms, gemm, int8, attention, turns, sparse, branch, branch16, sage, sage8, fp8, fused, halo, frames
}

/// A file of CUDA C++ that this program carries.
public struct KernelSource: Sendable {
    public let name: String
    public let text: String

    private init(_ source: cuda_source) {
        name = String(cString: source.name)
        text = String(
            decoding: UnsafeRawBufferPointer(start: UnsafeRawPointer(source.text), count: source.length), as: UTF8.self)
    }

    /// All files, in no order that matters.
    public static let all = (0..<cuda_source_count()).map { KernelSource(cuda_source_at($0)) }
    /// What each of them includes: name -> text.
    public static let headers = ["common.cuh": KernelSource(cuda_common_source()).text]
}
