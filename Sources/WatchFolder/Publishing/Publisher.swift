import Digests
import Foundation
import Rules

/// Makes a finished render visible in the outbox: poster, contact sheet, film, then the JSON log, each by an exclusive
/// rename from staging; then one line of `log.jsonl`; then the ledger.
///
/// A crash anywhere is finished forward by calling `publish` again: the ledger (and `publication.json` in staging)
/// hold names and digests, and a file that is no longer in staging has already been renamed.
struct Publisher {
    var layout: ServiceLayout
    var ledger: any Ledger
    var clock: any ServiceClock
    var files: DurableFiles
    var names = FolderNames()
    var logTail = LogTail()
    var programVersion: String
    /// Seconds east of Greenwich of the clock that names show.
    var utcOffset: Int

    /// Publishes a job in state `rendered` or `publishing`.
    /// - Throws: `ServiceError`; `noSpace` leaves everything as it is for another call, any other one means that the
    ///   render is not to be trusted.
    func publish(_ job: JobRecord, of drop: DropRecord) throws {
        guard let outcome = job.outcome else {
            throw ServiceError(.storage, "Nothing was rendered for job \(job.id).", hint: "The job runs again.")
        }
        let staging = layout.staging(job.id, epoch: job.publication?.epoch ?? job.epoch).path
        let folder = try outboxFolder(job.folder)
        var publication = try job.publication ?? prepare(job, outcome, drop: drop, folder: folder, staging: staging)
        // A film that was taken back, but not given up, lies in staging again.
        if !publication.filmIsPublished || access(staging + "/" + RenderOutcome.filmName, F_OK) == 0 {
            try publishFilm(&publication, job: job, drop: drop, folder: folder, staging: staging)
        }
        let record = try publishRecord(publication, job: job, drop: drop, folder: folder, staging: staging)
        do {
            try appendLog(record, id: job.id)
            try ledger.finish(job.id, at: clock.now())
        } catch {
            throw Unfinished(cause: error)
        }
        removeStaging(staging)
    }

    /// Everything is published and on the disk; only the books are not closed. Another call of `publish` closes them.
    struct Unfinished: Error { var cause: any Error }

    /// Takes back whatever of a publication can be seen, so that the job may run again.
    /// - Throws: when something cannot be taken back; the job must then not run again.
    func withdraw(_ publication: Publication, of job: JobRecord) throws {
        let staging = layout.staging(job.id, epoch: publication.epoch).path
        let folder =
            publication.folder.isEmpty ? layout.outbox.path : layout.outbox.path + "/" + publication.folder
        let record = folder + "/" + publication.record
        if access(record, F_OK) == 0, try isRecord(record, of: job.id) {
            try bringBack(record, to: staging + "/record.json")
        }
        let film = (staged: RenderOutcome.filmName, name: publication.film)
        for file in [film] + publication.pictures where access(staging + "/" + file.staged, F_OK) != 0 {
            try bringBack(folder + "/" + file.name, to: staging + "/" + file.staged)
        }
        try? files.syncDirectory(folder)
    }

    private func bringBack(_ target: String, to staged: String) throws {
        if files.calls.rename(target, staged) != 0, errno != ENOENT {
            throw ServiceError.system("rename", DurableFiles.name(target), errno: errno)
        }
    }

    private func isRecord(_ path: String, of id: JobID) throws -> Bool {
        let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
        return (try? JSONDecoder().decode(JSONValue.self, from: bytes).objectValue?["id"]?.stringValue) == id.text
    }

    // MARK: Film and pictures

    /// Checks each file of the render against its digest, syncs it, and fixes a name.
    private func prepare(
        _ job: JobRecord, _ outcome: RenderOutcome, drop: DropRecord, folder: String, staging: String
    ) throws -> Publication {
        let started = clock.now()
        let film = staging + "/" + RenderOutcome.filmName
        let written = [
            (RenderOutcome.filmName, outcome.filmSHA256), (RenderOutcome.posterName, outcome.posterSHA256),
            (RenderOutcome.sheetName, outcome.sheetSHA256),
        ]
        for case (let name, let digest?) in written {
            guard try Digest.ofFile(staging + "/" + name) == digest else {
                throw ServiceError(
                    .storage, "\(name) of job \(job.id) is not what the worker wrote.",
                    hint: "The job runs again; check the disk if this repeats.")
            }
        }
        var publication = Publication(
            epoch: job.epoch, folder: String(folder.dropFirst(layout.outbox.path.utf8.count + 1)), base: "",
            filmSHA256: outcome.filmSHA256, posterSHA256: outcome.posterSHA256, sheetSHA256: outcome.sheetSHA256,
            startedAt: started)
        for file in [film] + publication.pictures.map({ staging + "/" + $0.staged }) {
            guard chmod(file, 0o664) == 0 else { throw ServiceError.system("chmod", "film", errno: errno) }
            DurableFiles.adoptGroup(of: folder, file: file)
            do {
                try files.syncFile(file)
            } catch {
                // Whatever the reason, a full disk too: this data is never synced again, so the film is made again.
                unlink(film)
                throw error
            }
        }
        publication.base = try freeName(job, stem: drop.outputStem, folder: folder, at: started)
        return try fix(publication, job: job, drop: drop, staging: staging)
    }

    private func fix(_ publication: Publication, job: JobRecord, drop: DropRecord, staging: String) throws
        -> Publication
    {
        let sheet = PublicationSheet(
            job: job, inputs: drop.inputs, publication: publication, programVersion: programVersion)
        try files.create(staging + "/" + PublicationSheet.name, try JSONEncoder.ledger.encode(sheet))
        try ledger.record(publication, for: job.id)
        return publication
    }

    private func publishFilm(
        _ publication: inout Publication, job: JobRecord, drop: DropRecord, folder: String, staging: String
    ) throws {
        let film = staging + "/" + RenderOutcome.filmName
        while true {
            var ahead: [(staged: String, name: String)] = []
            do {
                for picture in publication.pictures {
                    try move(staging + "/" + picture.staged, to: folder + "/" + picture.name)
                    ahead.append(picture)
                }
                try move(film, to: folder + "/" + publication.film)
                break
            } catch is NameTaken {
                // Somebody made a file of that name meanwhile: what went ahead of it comes back.
                takeBack(ahead, from: folder, to: staging)
                publication.base = try freeName(job, stem: drop.outputStem, folder: folder, at: publication.startedAt)
                publication = try fix(publication, job: job, drop: drop, staging: staging)
            }
        }
        do {
            try files.syncDirectory(folder)
        } catch {
            // Never a success on a folder that may not hold it: take all back, outside the share.
            _ = files.calls.renameExclusive(folder + "/" + publication.film, film)
            takeBack(publication.pictures, from: folder, to: staging)
            throw error
        }
        publication.filmIsPublished = true
        try ledger.record(publication, for: job.id)
    }

    private func takeBack(_ pictures: [(staged: String, name: String)], from folder: String, to staging: String) {
        for picture in pictures {
            _ = files.calls.renameExclusive(folder + "/" + picture.name, staging + "/" + picture.staged)
        }
    }

    private struct NameTaken: Error {}

    /// Renames one staged file, or finds that an earlier run has done so.
    private func move(_ staged: String, to target: String) throws {
        guard access(staged, F_OK) == 0 else { return }
        guard try renameExclusive(staged, target) != 0 else { return }
        if errno == EEXIST { throw NameTaken() }
        throw ServiceError.system("rename", DurableFiles.name(target), errno: errno)
    }

    /// 0, or -1 with `errno` set.
    private func renameExclusive(_ staged: String, _ target: String) throws -> Int32 {
        let folder = try files.openDirectory(DurableFiles.folder(target))
        let (result, code) = names.adding([DurableFiles.name(target)], to: folder) {
            (files.calls.renameExclusive(staged, target), errno)
        }
        close(folder)
        errno = code
        return result
    }

    // MARK: The record

    private func publishRecord(
        _ publication: Publication, job: JobRecord, drop: DropRecord, folder: String, staging: String
    ) throws -> JSONValue {
        let target = folder + "/" + publication.record
        if let earlier = try? JSONDecoder().decode(
            JSONValue.self, from: Data(contentsOf: URL(fileURLWithPath: target))),
            earlier.objectValue?["id"]?.stringValue == job.id.text
        {
            try files.syncDirectory(folder)
            return earlier
        }
        let now = clock.now()
        let record = try JobLog.record(
            of: job, inputs: drop.inputs, publication: publication,
            publishSeconds: now.timeIntervalSince(publication.startedAt), at: now, programVersion: programVersion)
        try makeDirectory(staging)
        let staged = staging + "/record.json"
        try files.create(staged, try JSONEncoder.readable.encode(record) + Data("\n".utf8))
        DurableFiles.adoptGroup(of: folder, file: staged)
        guard try renameExclusive(staged, target) == 0 else {
            throw ServiceError.system("rename", publication.record, errno: errno)
        }
        do {
            try files.syncDirectory(folder)
        } catch {
            _ = files.calls.renameExclusive(target, staged)
            throw error
        }
        return record
    }

    /// Adds the line of a finished or failed job, unless an earlier run has.
    func appendLog(_ record: JSONValue, id: JobID) throws {
        try LogFile(
            path: layout.outbox.appendingPathComponent("log.jsonl").path, files: files,
            staging: layout.stagingRoot.path, tail: logTail
        ).append(record, id: id)
    }

    // MARK: Names and folders

    /// The first name, counted up, of which the folder has none of the files in any spelling.
    private func freeName(_ job: JobRecord, stem: String, folder: String, at time: Date) throws -> String {
        let settings = job.settings
        let given = settings?.outputName.value ?? ""
        let name = OutputName(
            stem: given.isEmpty ? stem : given.replacingOccurrences(of: "{stem}", with: stem),
            mode: settings?.mode ?? .textToVideo, seed: job.seed ?? 0, model: settings?.model.value ?? "unknown",
            secondsSince1970: Int(time.timeIntervalSince1970.rounded(.down)), utcOffset: utcOffset)
        let descriptor = try files.openDirectory(folder)
        defer { close(descriptor) }
        var attempt = 1
        while try names.contains(
            anyOf: [".mp4", ".jpg", ".json", "_sheet.jpg"].map { name.base(attempt: attempt) + $0 }, in: descriptor)
        {
            attempt += 1
        }
        return name.base(attempt: attempt)
    }

    /// The folder below the outbox, made where it is missing, for all share users (2775).
    private func outboxFolder(_ folder: String) throws -> String {
        var path = layout.outbox.path
        for component in folder.split(separator: "/") {
            path += "/" + OutputName.sanitise(String(component))
            var status = stat()
            if lstat(path, &status) == 0 {
                guard status.st_mode & S_IFMT == S_IFDIR else {
                    throw ServiceError(
                        .storage, "In the outbox, \(component) is no folder.", hint: "Rename or remove it.")
                }
                continue
            }
            try makeDirectory(path)
            try files.syncDirectory(DurableFiles.folder(path))
        }
        return path
    }

    private func makeDirectory(_ path: String) throws {
        guard mkdir(path, 0o775) == 0 || errno == EEXIST else {
            throw ServiceError.system("mkdir", DurableFiles.name(path), errno: errno)
        }
        _ = chmod(path, 0o2775)
    }

    private func removeStaging(_ path: String) {
        try? FileManager.default.removeItem(atPath: path)
    }
}
