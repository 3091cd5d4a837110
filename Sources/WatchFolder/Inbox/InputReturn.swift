import Digests
import Foundation
import Intake
import Rules

/// Takes the inputs of finished drops out of the folder: into `_done` or `_failed`, or leaves or deletes them.
///
/// The destination stands in the ledger before the move, so that an interrupted one is finished and never doubled.
struct InputReturn {
    var root: SafeRoot
    var ledger: any Ledger
    var layout: ServiceLayout
    var files: DurableFiles
    var names = FolderNames()

    /// - Returns: paths that are no longer known as waiting, with what became of them.
    func settle(_ drop: DropRecord, jobs: [JobRecord]) throws -> [(
        path: RelativePath, becomes: InputRecord.Disposition
    )] {
        let error = jobs.compactMap(\.error).first
        var results: [(RelativePath, InputRecord.Disposition)] = []
        for input in drop.inputs {
            let disposition: InputRecord.Disposition
            switch input.disposition {
            case .waiting: disposition = try handle(input, drop: drop, error: error)
            case .returning: disposition = try finishMove(input, drop: drop, error: error)
            case .moved, .kept, .orphaned, .deleted, .gone: continue
            }
            results.append((RelativePath(input.path), disposition))
        }
        try ledger.close(drop: drop.id)
        return results
    }

    private func handle(_ input: InputRecord, drop: DropRecord, error: ServiceError?) throws -> InputRecord.Disposition
    {
        let path = RelativePath(input.path)
        guard try isStill(input, at: path) else { return try set(.gone, input, drop) }
        if let error {
            guard drop.after == .keep else { return try move(input, drop: drop, to: "_failed", error: error) }
            try write(error, beside: path)
            return try set(.kept, input, drop)
        }
        switch drop.after {
        case .move: return try move(input, drop: drop, to: "_done", error: nil)
        case .keep: return try set(.kept, input, drop)
        case .delete:
            try root.remove(path)
            return try set(.deleted, input, drop)
        }
    }

    private func set(
        _ disposition: InputRecord.Disposition, _ input: InputRecord, _ drop: DropRecord, destination: String? = nil
    ) throws -> InputRecord.Disposition {
        try ledger.setDisposition(disposition, destination: destination, drop: drop.id, role: input.role)
        return disposition
    }

    /// Whether the file at the path is still what was accepted, by identity or, if only touched, by content.
    private func isStill(_ input: InputRecord, at path: RelativePath) throws -> Bool {
        guard let now = try observe(path) else { return false }
        if !now.identity.mayDifferInContent(from: input.identity) { return true }
        guard now.identity.size == input.identity.size, !input.sha256.isEmpty else {
            return input.sha256.isEmpty && now.identity.isSameFile(as: input.identity)
        }
        do {
            return try Digest.ofFile(descriptor: root.open(path).descriptor) == input.sha256
        } catch let error as IntakeError where [.absent, .unsafe, .permission].contains(error.code) {
            return false
        }
    }

    /// Nil when there is no regular file of that name. That it cannot be told is an error, not an answer: an input
    /// taken for gone would be taken in anew.
    private func observe(_ path: RelativePath) throws -> ObservedFile? {
        do {
            return try root.observe(path)
        } catch {
            if [.absent, .unsafe, .name].contains(error.code) { return nil }
            throw error
        }
    }

    private func move(
        _ input: InputRecord, drop: DropRecord, to name: String, error: ServiceError?
    ) throws -> InputRecord.Disposition {
        let path = RelativePath(input.path)
        let folder = path.parent.appending(name)
        try root.createDirectory(folder)
        var number = 1
        while true {
            let target = folder.appending(Self.numbered(path.name, number))
            number += 1
            if try isTaken(target) { continue }
            _ = try set(.returning, input, drop, destination: target.string)
            do {
                let descriptor = try root.openDirectory(folder)
                defer { close(descriptor) }
                try names.adding([target.name], to: descriptor) { try root.move(path, to: target) }
            } catch let error as IntakeError {
                switch error.code {
                case .exists: continue
                case .absent: return try set(.gone, input, drop)
                default: throw error
                }
            }
            if let error { try write(error, beside: target) }
            return try set(.moved, input, drop, destination: target.string)
        }
    }

    /// An earlier run chose the destination; the move may have happened.
    private func finishMove(
        _ input: InputRecord, drop: DropRecord, error: ServiceError?
    ) throws -> InputRecord.Disposition {
        if let destination = input.destination, let there = try observe(RelativePath(destination)),
            there.identity.isSameFile(as: input.identity)
        {
            if let error { try write(error, beside: RelativePath(destination)) }
            return try set(.moved, input, drop, destination: destination)
        }
        return try handle(input, drop: drop, error: error)
    }

    /// Whether there is something of that name, in any spelling: clients of the share do not tell case apart.
    private func isTaken(_ path: RelativePath) throws -> Bool {
        do {
            let folder = try root.openDirectory(path.parent)
            defer { close(folder) }
            return try names.contains(anyOf: [path.name], in: folder)
        } catch let error as IntakeError {
            if error.code == .absent { return false }
            throw error
        }
    }

    /// `cat.jpg`, `cat-2.jpg`, `cat-3.jpg`.
    static func numbered(_ name: String, _ number: Int) -> String {
        guard number > 1 else { return name }
        let stem = DropName(name).stem
        let ending = stem.utf8.count < name.utf8.count ? String(name.dropFirst(stem.count)) : ""
        let room = 255 - ending.utf8.count - 8
        var short = stem
        while short.utf8.count > room { short.removeLast() }
        return "\(short)-\(number)\(ending)"
    }

    private func write(_ error: ServiceError, beside path: RelativePath) throws {
        var name = path.name
        while name.utf8.count > 255 - ".ERROR.txt".utf8.count { name.removeLast() }
        let target = path.parent.appending(name + ".ERROR.txt")
        try? root.remove(target)
        do {
            try root.create(target, bytes: Array(ErrorText.render(error).utf8))
        } catch {
            if error.code != .exists { throw error }
        }
    }
}
