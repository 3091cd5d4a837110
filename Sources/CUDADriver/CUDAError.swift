/// What went wrong between this program and the CUDA libraries.
public struct CUDAError: Error, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable {
        /// A library or a function in it is not there.
        case missing
        /// There is no GPU that can be used.
        case noDevice
        case outOfMemory
        /// The driver refused a call or lost the device.
        case driver
        /// A kernel did not compile.
        case compile
        /// A matrix product was refused.
        case product
    }

    public let code: Code
    public let message: String
    public let hint: String

    public init(_ code: Code, _ message: String, hint: String) {
        (self.code, self.message, self.hint) = (code, message, hint)
    }

    public var description: String { "\(message) (\(hint))" }
}
