import Foundation
import Rules

/// Makes a finished render visible in the outbox: poster, film, then the JSON log, each by an exclusive rename from
/// staging; then one line of `log.jsonl`; then the ledger.
///
/// A crash anywhere is finished forward by calling `publish` again: the ledger (and `publication.json` in staging)
/// hold names and digests, and a file that is no longer in staging has already been renamed.
struct Publisher {
    var layout: ServiceLayout
    var ledger: any Ledger
    var clock: any ServiceClock
    var files: DurableFiles
    var names = FolderNames()
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
        if !publication.filmIsPublished {
            try publishFilm(&publication, job: job, drop: drop, folder: folder, staging: staging)
        }
        let record = try publishRecord(publication, job: job, drop: drop, folder: folder, staging: staging)
        try appendLog(record, id: job.id)
        try ledger.finish(job.id, at: clock.now())
        removeStaging(staging)
    }

    // MARK: Film and poster

    /// Syncs the render, checks it against its digest, and fixes a name.
    private func prepare(
        _ job: JobRecord, _ outcome: RenderOutcome, drop: DropRecord, folder: String, staging: String
    ) throws -> Publication {
        let started = clock.now()
        let film = staging + "/" + RenderOutcome.filmName
        guard try Digest.ofFile(film) == outcome.filmSHA256 else {
            throw ServiceError(
                .storage, "The rendered film of job \(job.id) is not what the worker wrote.",
                hint: "The job runs again; check the disk if this repeats.")
        }
        for (file, isNeeded) in [(film, true), (staging + "/" + RenderOutcome.posterName, outcome.posterSHA256 != nil)]
        where isNeeded {
            guard chmod(file, 0o664) == 0 else { throw ServiceError.system("chmod", "film", errno: errno) }
            DurableFiles.adoptGroup(of: folder, file: file)
            try files.syncFile(file)
        }
        return try fix(
            Publication(
                epoch: job.epoch, folder: String(folder.dropFirst(layout.outbox.path.utf8.count + 1)),
                base: try freeName(job, stem: drop.stem, folder: folder, at: started),
                filmSHA256: outcome.filmSHA256, posterSHA256: outcome.posterSHA256, startedAt: started),
            job: job, drop: drop, staging: staging)
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
        let poster = staging + "/" + RenderOutcome.posterName
        while true {
            do {
                if publication.posterSHA256 != nil { try move(poster, to: folder + "/" + publication.poster) }
                try move(film, to: folder + "/" + publication.film)
                break
            } catch let error as NameTaken {
                // Somebody made a file of that name meanwhile. Only a poster can have gone ahead.
                if error.path.hasSuffix(publication.film), publication.posterSHA256 != nil {
                    _ = files.calls.renameExclusive(folder + "/" + publication.poster, poster)
                }
                publication.base = try freeName(job, stem: drop.stem, folder: folder, at: publication.startedAt)
                publication = try fix(publication, job: job, drop: drop, staging: staging)
            }
        }
        do {
            try files.syncDirectory(folder)
        } catch {
            // Never a success on a folder that may not hold it: take both back, outside the share.
            _ = files.calls.renameExclusive(folder + "/" + publication.film, film)
            if publication.posterSHA256 != nil {
                _ = files.calls.renameExclusive(folder + "/" + publication.poster, poster)
            }
            throw error
        }
        publication.filmIsPublished = true
        try ledger.record(publication, for: job.id)
    }

    private struct NameTaken: Error { var path: String }

    /// Renames one staged file, or finds that an earlier run has done so.
    private func move(_ staged: String, to target: String) throws {
        guard access(staged, F_OK) == 0 else { return }
        guard try renameExclusive(staged, target) != 0 else { return }
        if errno == EEXIST { throw NameTaken(path: target) }
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
            staging: layout.stagingRoot.path
        ).append(record, id: id)
    }

    // MARK: Names and folders

    /// The first name, counted up, of which the folder has none of the three files in any spelling.
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
            anyOf: ["mp4", "jpg", "json"].map { name.fileName($0, attempt: attempt) }, in: descriptor)
        {
            attempt += 1
        }
        return String(name.fileName("mp4", attempt: attempt).dropLast(4))
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
