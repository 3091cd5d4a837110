import Checkpoints
import Foundation
import Media
import Sampling
import Tensors
import Text
import Wan

/// Why a video could not be made: what happened and where, then what to do about it.
public struct GenerationError: Error, Sendable, Hashable, Codable, CustomStringConvertible {
    /// The kind of failure; decisions depend on this, never on the text.
    public enum Code: String, Sendable, Codable {
        /// A setting the model cannot work with.
        case request
        /// No such model, or none that makes this kind of video.
        case model
        /// A model folder's manifest.
        case manifest
        /// A weights or tokenizer file.
        case weights
        /// Not enough memory for this request.
        case memory
        /// The caller asked to stop.
        case cancelled
        /// Writing the video.
        case output
        /// The device.
        case backend
    }

    public let code: Code
    public let message: String
    public let hint: String

    public init(_ code: Code, _ message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }

    public var description: String { "\(message) (\(hint))" }

    static let cancelled = GenerationError(.cancelled, "cancelled", hint: "nothing to do")

    /// Any error of the floors below, with paths inside `folder` cut to the part after it.
    static func wrap(_ error: any Error, folder: URL? = nil) -> GenerationError {
        func local(_ text: String) -> String {
            guard let folder else { return text }
            return text.replacingOccurrences(of: folder.path + "/", with: "").replacingOccurrences(
                of: folder.path, with: "")
        }
        switch error {
        case let error as GenerationError: return error
        case let error as SamplingError: return GenerationError(.request, error.message, hint: error.hint)
        case let error as WanError: return GenerationError(.weights, local(error.message), hint: local(error.hint))
        case let error as CheckpointError:
            return GenerationError(.weights, local(error.message), hint: local(error.hint))
        case let error as TextError: return GenerationError(.weights, local(error.message), hint: local(error.hint))
        case let error as MediaError: return GenerationError(.output, error.message, hint: error.hint)
        case BackendError.outOfMemory(let bytes):
            return GenerationError(
                .memory, "the device has no room for another \(MemoryEstimate.text(bytes))", hint: MemoryEstimate.hint)
        case BackendError.deviceLost(let reason):
            return GenerationError(.backend, "the device failed: \(reason)", hint: "the job runs again")
        case BackendError.unsupported(let what):
            return GenerationError(
                .backend, "the device cannot do this: \(what)", hint: "use other settings or the CPU")
        default:
            return GenerationError(.output, String(describing: error), hint: "see the service's log")
        }
    }
}
