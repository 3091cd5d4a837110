import Foundation
import Intake
import Rules

extension InboxView {
    /// Looks closely at files that have been quiet; copies each and tries it on the copy. What is left when the share
    /// of time is over stays due.
    /// - Throws: `ServiceError` of code `noSpace` when there is no room for copies.
    mutating func settle(
        _ due: [ObservedFile], into folder: SafeRoot, layout: ServiceLayout, desk: InspectionDesk, at now: Double,
        share: Service.Share
    ) throws {
        for file in due {
            if share.isOver { return }
            let name = DropName(file.path.name)
            let opened: OpenFile
            do {
                opened = try root.open(file.path)
            } catch {
                let result: ProbeResult =
                    switch error.code {
                    case .absent: .gone
                    // The system's trouble, not the file's: another look, until the time for incomplete files is over.
                    case .io: .incomplete(reason: error.message)
                    default: .broken(reason: error.message, hint: error.hint)
                    }
                settling.report(.init(result, knowsWriters: true), for: file, at: now)
                continue
            }
            if opened.identity != file.identity {
                // Nothing tells of writes to a file that stays open: this look is the observation.
                observe(ObservedFile(path: file.path, identity: opened.identity), at: now)
                continue
            }
            var snapshot: Snapshot?
            let finding = try FileProbe().look(opened, expecting: file.identity) { opened in
                let copy: Snapshot
                do {
                    // The text of a prompt goes into the ledger; only pictures are needed after acceptance.
                    copy = try Snapshot.take(
                        opened, expecting: file.identity, into: folder, isDurable: [.image, .audio].contains(name.kind))
                } catch let error as IntakeError {
                    switch error.code {
                    case .noSpace: throw ServiceError.system("copy", file.path.name, errno: ENOSPC)
                    case .changed: return .incomplete(reason: "it is still changing")
                    case .io: return .incomplete(reason: error.message)
                    default: return .broken(reason: error.message, hint: error.hint)
                    }
                }
                let verdict = try Self.examine(name, copy: copy) {
                    desk.verdict(on: layout.snapshot($0), as: $1, within: Self.patience)
                }
                if verdict == .complete { snapshot = copy }
                return verdict
            }
            let state = settling.report(finding, for: file, at: now)
            if state == .ready, let snapshot {
                snapshots[file.path] = snapshot
                readySince[file.path] = now
            }
        }
    }

    /// How long one look waits for a decode on trial, in seconds; nearly all are done by then.
    static let patience = 0.25

    /// Whether the copy of a settled file is whole.
    ///
    /// - Parameter inspect: the verdict on the copy with this digest; nil while it is still being tried.
    static func examine(
        _ name: DropName, copy: Snapshot, inspect: (String, InputMedium) -> InputVerdict?
    ) throws -> Completeness {
        let medium: InputMedium
        switch name.kind {
        case .image: medium = .picture
        case .audio: medium = .sound
        default: return .complete
        }
        switch inspect(copy.sha256, medium) {
        case nil: return .undecided
        case .complete: return .complete
        case .incomplete(let reason): return .incomplete(reason: reason)
        case .broken(let error):
            if error.code == .noSpace { throw error }
            // The host's trouble, not the file's: another look, until the time for incomplete files is over.
            if error.code.isRetryable { return .incomplete(reason: error.message) }
            return .broken(reason: error.message, hint: error.hint)
        }
    }

    /// Every file that is no job yet, with the reason, for STATUS.
    func waiting(_ reasons: [RelativePath: String], at now: Double) -> [ServiceStatus.Waiting] {
        var texts = unusable
        for (path, state) in settling.states {
            switch state {
            case .settling: texts[path] = "being copied; it is taken once it has been quiet for a moment"
            case .beingWritten: texts[path] = "another program still writes to it"
            case .incomplete(let reason, _): texts[path] = "incomplete: \(reason); copy it again if nothing moves"
            case .ready: texts[path] = reasons[path] ?? "about to be queued"
            case .rejected(let reason, _): texts[path] = reason
            }
        }
        for (path, reason) in reasons where texts[path] == nil { texts[path] = reason }
        return texts.sorted { $0.key < $1.key }.prefix(500).map { .init(path: $0.key.string, reason: $0.value) }
    }
}
