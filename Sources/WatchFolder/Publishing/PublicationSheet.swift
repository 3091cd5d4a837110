import Digests
import Foundation

/// `publication.json` in staging: enough to finish a publication that was cut off when the ledger is lost.
struct PublicationSheet: Codable {
    static let name = "publication.json"

    var job: JobRecord
    var inputs: [InputRecord]
    var publication: Publication
    var programVersion: String

    /// Moves what is still staged, then writes the record and its line of the log. Nothing is done when the film is
    /// neither staged nor, unchanged, at its place.
    func finish(staging: String, layout: ServiceLayout, files: DurableFiles) throws {
        let folder = publication.folder.isEmpty ? layout.outbox.path : layout.outbox.path + "/" + publication.folder
        let film = folder + "/" + publication.film
        _ = files.calls.renameExclusive(staging + "/" + RenderOutcome.filmName, film)
        guard try Digest.ofFile(film) == publication.filmSHA256 else { return }
        for picture in publication.pictures {
            _ = files.calls.renameExclusive(staging + "/" + picture.staged, folder + "/" + picture.name)
        }
        let now = Date()
        let record = try JobLog.record(
            of: job, inputs: inputs, publication: publication,
            publishSeconds: now.timeIntervalSince(publication.startedAt), at: now, programVersion: programVersion)
        let target = folder + "/" + publication.record
        if access(target, F_OK) != 0 {
            let staged = staging + "/record.json"
            try files.create(staged, try JSONEncoder.readable.encode(record) + Data("\n".utf8))
            DurableFiles.adoptGroup(of: folder, file: staged)
            guard files.calls.renameExclusive(staged, target) == 0 else {
                throw ServiceError.system("rename", publication.record, errno: errno)
            }
        }
        try files.syncDirectory(folder)
        try LogFile(
            path: layout.outbox.appendingPathComponent("log.jsonl").path, files: files,
            staging: layout.stagingRoot.path
        ).append(record, id: job.id)
        try FileManager.default.removeItem(atPath: staging)
    }
}
