import Foundation

/// A faster way of some operations; beside each stands a plainer one that computes the same.
///
/// `DROPREEL_CUDA_WITHOUT` names those to leave out, separated by commas: where a check fails on a GPU, one run tells
/// which of them is at fault, and the others go on meanwhile.
public enum FastPath: String, CaseIterable, Sendable {
    /// Products by cuBLASLt.
    case library
    /// Products, the VAE's attention included, on tensor cores by this program's kernel.
    case products
    /// Convolutions on tensor cores.
    case convolution
    /// The same where channels are no multiple of 8.
    case narrow
    /// Attention on tensor cores.
    case attention
    /// Attention by warps of 32 queries.
    case tall
    /// The linear branch of sparse attention on tensor cores.
    case branch
    /// Convolutions and attention by Hopper's own instructions.
    case hopper
    /// Attention by a producer of tiles and two groups that take turns, by Hopper's own instructions.
    case turns
    /// The linear branch at the end of the attention kernel, on Hopper.
    case joined
    /// The choice of blocks for eight blocks of queries at once.
    case choice
    /// Convolutions of 3 x 3 pixels that read each input once, by Hopper's own instructions.
    case halo
    /// Convolutions of 3 x 3 pixels for several frames at once, by Hopper's own instructions.
    case frames
    /// SageSLA's products in eight bits, by Hopper's own instructions.
    case sage8
    /// Layers of eight bits in e4m3 with a scale a row, by cuBLASLt on Hopper.
    case rows8
    /// Hidden rows of e4m3 layers as codes out of the product that makes them, by Hopper's own instructions.
    case fused
    /// The gate of a residual in bf16 taken into the weights.
    case gates
    /// Block means, SageSLA's codes and those of int8 layers 16 bytes at a time.
    case codes
    /// Large copies to the GPU through pinned memory that several threads fill.
    case uploads
    /// Short steps and chunks of frames that are queued again and again, in one call each.
    case graphs

    /// Those that the environment does not leave out.
    public static var chosen: Set<FastPath> {
        all(except: ProcessInfo.processInfo.environment["DROPREEL_CUDA_WITHOUT"] ?? "")
    }

    /// - Parameter names: separated by commas; those that are none are passed over.
    static func all(except names: String) -> Set<FastPath> {
        let left = names.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
        return Set(allCases.filter { !left.contains($0.rawValue) })
    }
}
