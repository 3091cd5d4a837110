import Foundation
import Tensors

/// Runs every case of a folder of reference values against this program, each within the tolerance its file states.
///
/// The folder has one sub-folder a kind (`dit`, `vae`, `sampler`, ...), each with a `cases.json`. Shapes, sizes,
/// weights, seeds and tolerances all come from the files. A kind, case or tensor that is not understood, and a file
/// that is missing, is a failed line.
public enum SelfTest {
    /// One case's outcome.
    public struct Line: Sendable, CustomStringConvertible {
        public let kind: String
        public let name: String
        /// What was compared, the error found and the tolerance, or what went wrong.
        public let detail: String
        public let passed: Bool

        public var description: String { "\(passed ? "ok  " : "FAIL") \(kind) \(name): \(detail)" }
    }

    public struct Summary: Sendable, Hashable, CustomStringConvertible {
        public var passed = 0
        public var failed = 0

        public var description: String { "\(passed) passed, \(failed) failed" }
    }

    /// - Parameters:
    ///   - reference: the folder, or one kind's sub-folder.
    ///   - report: called with each line as it is found.
    public static func run(reference: URL, backend: any Backend, report: (Line) -> Void) -> Summary {
        var summary = Summary()
        func note(_ line: Line) {
            if line.passed { summary.passed += 1 } else { summary.failed += 1 }
            report(line)
        }
        let folders = sectionFolders(reference)
        if folders.isEmpty {
            note(
                Line(
                    kind: "selftest", name: reference.lastPathComponent, detail: "no folder in it has a cases.json",
                    passed: false))
        }
        for folder in folders {
            let kind = folder.lastPathComponent
            do {
                let section = try Section(folder: folder, backend: backend)
                section.run { note($0) }
            } catch {
                note(Line(kind: kind, name: "cases.json", detail: "\(text(of: error))", passed: false))
            }
        }
        return summary
    }

    private static func sectionFolders(_ reference: URL) -> [URL] {
        let files = FileManager.default
        func hasCases(_ folder: URL) -> Bool { files.fileExists(atPath: folder.appending(path: "cases.json").path) }
        if hasCases(reference) { return [reference] }
        let entries =
            (try? files.contentsOfDirectory(at: reference, includingPropertiesForKeys: [.isDirectoryKey])) ?? []
        return entries.filter { (try? $0.resourceValues(forKeys: [.isDirectoryKey]).isDirectory) == true }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
    }
}

/// What a case's runner throws when the files do not say what it needs, or say something it does not know.
struct CaseError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// An error in one line.
func text(of error: any Error) -> String {
    String(describing: error).split(separator: "\n").joined(separator: " ")
}
