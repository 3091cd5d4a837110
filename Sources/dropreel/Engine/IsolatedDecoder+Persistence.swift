import Foundation
import Media
import WatchFolder

extension IsolatedDecoder {
    /// For a worker: what `body` decodes of an order.
    /// - Throws: `MediaError`; `ServiceError` of a retryable code when the file is not to blame.
    func forRendering<Result>(_ body: (IsolatedDecoder) throws -> Result) throws -> Result {
        do {
            return try persistently(body)
        } catch let error as MediaError where error.code == .unavailable {
            throw ServiceError(.interrupted, error.message, hint: error.hint)
        }
    }

    /// Tries again, twice, when no process could be started or it was ended from outside: a host short of memory or
    /// processes is often so for a moment only.
    func persistently<Result>(_ body: (IsolatedDecoder) throws -> Result) throws -> Result {
        for pause in [UInt32(50_000), 250_000] {
            do {
                return try body(self)
            } catch let error as MediaError where error.code == .unavailable {
                usleep(pause)
            }
        }
        return try body(self)
    }
}
