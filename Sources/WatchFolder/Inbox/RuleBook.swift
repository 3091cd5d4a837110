import Foundation
import Intake
import Rules

/// The rules folder, read again whenever something in it changes; keeps the ERROR texts beside broken files.
struct RuleBook {
    private let root: SafeRoot
    private let models: ModelCatalogue
    private let files: DurableFiles
    private let staging: String
    private var seen: [RelativePath: FileIdentity]?
    private(set) var rules: RuleSet
    /// ERROR texts that stand beside rule files now, by path, with their content.
    private var errorTexts: [RelativePath: String] = [:]

    init(folder: URL, staging: URL, models: ModelCatalogue, files: DurableFiles) throws {
        do {
            root = try SafeRoot(path: folder.path)
        } catch {
            throw ServiceError(
                .configuration, "The rules folder cannot be opened.", hint: error.hint, cause: error.message)
        }
        self.models = models
        self.files = files
        self.staging = staging.path
        rules = RuleSet(files: [], models: models)
    }

    /// Looks whether any file changed, and reads all of them again if so.
    /// - Returns: true when the rules are new.
    mutating func reload() throws -> Bool {
        var present: [RelativePath: FileIdentity] = [:]
        var oldErrorTexts: Set<RelativePath> = []
        var options = ScanOptions(maximumDepth: 16)
        options.reportsFile = { !$0.hasPrefix(".") && !$0.hasPrefix("~") }
        try root.scan(.root, options: options) { entry in
            guard case .file(let file) = entry else { return true }
            if RuleSet.folderKey(file.path.string) != nil { present[file.path] = file.identity }
            if file.path.name.hasSuffix(".ERROR.txt") { oldErrorTexts.insert(file.path) }
            return true
        }
        let isNew = seen.map { Self.differ($0, present) } ?? true
        guard isNew || Set(errorTexts.keys) != oldErrorTexts else { return false }
        if isNew {
            rules = RuleSet(files: read(present), models: models)
            seen = present
        }
        try writeErrorTexts(present: oldErrorTexts)
        return isNew
    }

    private static func differ(_ old: [RelativePath: FileIdentity], _ new: [RelativePath: FileIdentity]) -> Bool {
        guard old.count == new.count else { return true }
        return new.contains { path, identity in old[path].map { $0.mayDifferInContent(from: identity) } ?? true }
    }

    /// A file that cannot be read counts as one that cannot be understood: its folder waits.
    private func read(_ present: [RelativePath: FileIdentity]) -> [RuleFile] {
        present.keys.sorted().map { path in
            let bytes = try? root.open(path).readAll(limit: 1 << 20)
            return RuleFile(path: path.string, bytes: bytes ?? [0])
        }
    }

    private mutating func writeErrorTexts(present: Set<RelativePath>) throws {
        var wanted: [RelativePath: String] = [:]
        for (path, problems) in rules.problems {
            wanted[RelativePath(RuleSet.errorTextPath(path))] = ErrorText.render(problems.errorText)
        }
        for (path, text) in wanted where errorTexts[path] != text || !present.contains(path) {
            try files.replace(root.path + "/" + path.string, with: Data(text.utf8), staging: staging, synced: false)
        }
        for path in present where wanted[path] == nil { try? root.remove(path) }
        errorTexts = wanted
    }
}

/// The texts beside returned inputs and broken rules.
enum ErrorText {
    /// With line ends that every Notepad shows.
    static func render(_ text: String) -> String {
        text.split(separator: "\n", omittingEmptySubsequences: true).joined(separator: "\r\n") + "\r\n"
    }

    /// Line 1 what happened, line 2 what to do.
    static func render(_ error: ServiceError) -> String {
        let flat = { (text: String) in text.split(whereSeparator: \.isNewline).joined(separator: " ") }
        return flat(error.message) + "\r\n" + flat(error.hint) + "\r\n"
    }
}
