/// A setting the sampler cannot work with.
public struct SamplingError: Error, Sendable, Hashable {
    /// "steps", "sigma_max", "frames", "size", "resolution", "aspect_ratio".
    public let code: String
    public let message: String
    public let hint: String

    public init(code: String, message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}
