import Foundation

/// What is to become visible for one job: written into the ledger, and beside the film in staging, before the first
/// rename, so that recovery can finish forward from either.
public struct Publication: Hashable, Sendable, Codable {
    /// Epoch of the attempt whose staging directory holds the files.
    public var epoch: Int
    /// Folder below the outbox; "" for the outbox itself.
    public var folder: String
    /// Name of all three files, without extension.
    public var base: String
    public var filmSHA256: String
    public var posterSHA256: String?
    public var startedAt: Date
    /// Film and poster are at their place.
    public var filmIsPublished = false

    var film: String { base + ".mp4" }
    var poster: String { base + ".jpg" }
    var record: String { base + ".json" }
}
