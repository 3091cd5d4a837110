import Foundation

/// What is to become visible for one job: written into the ledger, and beside the film in staging, before the first
/// rename, so that recovery can finish forward from either.
public struct Publication: Hashable, Sendable, Codable {
    /// Epoch of the attempt whose staging directory holds the files.
    public var epoch: Int
    /// Folder below the outbox; "" for the outbox itself.
    public var folder: String
    /// What the names of all files begin with.
    public var base: String
    public var filmSHA256: String
    public var posterSHA256: String?
    public var sheetSHA256: String?
    public var startedAt: Date
    /// The film and the pictures beside it are at their place.
    public var filmIsPublished = false

    /// The film below the outbox.
    var path: String { folder.isEmpty ? film : "\(folder)/\(film)" }

    var film: String { base + ".mp4" }
    var poster: String { base + ".jpg" }
    var sheet: String { base + "_sheet.jpg" }
    var record: String { base + ".json" }

    /// The pictures that go ahead of the film: their names in staging and in the outbox.
    var pictures: [(staged: String, name: String)] {
        var pictures: [(staged: String, name: String)] = []
        if posterSHA256 != nil { pictures.append((RenderOutcome.posterName, poster)) }
        if sheetSHA256 != nil { pictures.append((RenderOutcome.sheetName, sheet)) }
        return pictures
    }
}
