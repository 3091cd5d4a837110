/// Operations that are queued more than once: the same ones over the same memory, each time.
public protocol Repetition: AnyObject {
    /// Queues what `body` queues. It is not called where that is known from before, and it may be called twice in a row
    /// where the first call was to find out. It gives back what memory it takes, and does not wait for the device.
    func run(_ body: () throws -> Void) throws
}

extension Backend {
    public func repetition(_ name: String) -> (any Repetition)? { nil }
}
