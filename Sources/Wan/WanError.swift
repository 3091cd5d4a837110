/// A weights file that does not hold the model it should.
public struct WanError: Error, Sendable, Hashable {
    /// "weights" (a missing or misshapen tensor), "configuration".
    public let code: String
    public let message: String
    public let hint: String

    public init(code: String, message: String, hint: String) {
        self.code = code
        self.message = message
        self.hint = hint
    }
}
