/// One file of the rules folder: its path below it ("portraits/night.toml") and its bytes.
public struct RuleFile: Hashable, Sendable {
    public var path: String
    public var bytes: [UInt8]

    public init(path: String, bytes: [UInt8]) {
        self.path = path
        self.bytes = bytes
    }
}

/// What the rules say for one folder.
public enum FolderRule: Hashable, Sendable {
    /// All files of the chain are sound; the effective settings.
    case sound(SettingLayer)
    /// At least one file of the chain is broken: new jobs of the folder wait.
    case broken(RuleProblems)
}

/// Every rule file of the service, read and checked; what holds in which folder.
public struct RuleSet: Sendable {
    /// Problems by rule file (path as given), for the ERROR texts beside them. Sound files are absent.
    public private(set) var problems: [String: RuleProblems] = [:]
    /// Folded folder path ("" for default.toml) -> its own settings.
    private var layers: [String: SettingLayer] = [:]
    /// Folded folder path -> the file that spoils it.
    private var broken: [String: RuleProblems] = [:]

    /// Folded folder path of `default.toml`.
    private static let base = ""

    /// - Parameters:
    ///   - files: all rule files; names that are no rule files (`RuleSet.folderKey` is nil) are passed over.
    ///   - models: what values are checked against; an empty catalogue checks only what needs no model.
    ///   - prefix: put in front of paths in messages ("rules/").
    public init(files: [RuleFile], models: ModelCatalogue, prefix: String = "rules/") {
        var paths: [String: String] = [:]
        for file in files.sorted(by: { $0.path < $1.path }) {
            guard let key = Self.folderKey(file.path) else { continue }
            let source = prefix + file.path
            if let other = paths[key] {
                let found = RuleProblems(
                    RuleProblem(
                        source: source, code: .ambiguousFile, message: "\(prefix)\(other) means the same folder",
                        hint: "Delete or rename one of the two files."))
                problems[file.path] = found
                broken[key] = found
                continue
            }
            paths[key] = file.path
            do {
                let text = try Self.lines(file.bytes, source: source)
                layers[key] = try SettingReader.read(source: source, lines: text)
            } catch {
                problems[file.path] = error
                broken[key] = error
            }
        }
        check(paths: paths, models: models, prefix: prefix)
    }

    private static func lines(_ bytes: [UInt8], source: String) throws(RuleProblems) -> [[Unicode.Scalar]] {
        do {
            return try SourceText(bytes, source: source).lines
        } catch {
            throw RuleProblems(error)
        }
    }

    /// What holds for jobs of a folder below the inbox ("Portraits/Night"; "" for the inbox itself).
    public func rule(forFolder folder: String) -> FolderRule {
        var layer = SettingLayer()
        for key in Self.chain(NameKey.foldPath(folder)) {
            if let problems = broken[key] { return .broken(problems) }
            if let own = layers[key] { layer = layer.overlaid(by: own) }
        }
        return .sound(layer)
    }

    /// The folded folder path a rule file speaks about: "Portraits/Night.toml.txt" -> "portraits/night",
    /// "default.toml" -> "". Nil for a file that is no rule (ERROR texts, temporary and hidden names).
    public static func folderKey(_ path: String) -> String? {
        let key = NameKey.foldPath(path)
        let parts = key.split(separator: "/")
        guard let name = parts.last, !parts.contains(where: { $0.hasPrefix(".") || $0.hasPrefix("_") }),
            !name.hasPrefix("~$")
        else { return nil }
        for suffix in [".toml.txt", ".toml"] where key.hasSuffix(suffix) && name.count > suffix.count {
            let folder = String(key.dropLast(suffix.count))
            return folder == "default" ? base : folder
        }
        return nil
    }

    /// Name of the ERROR text of a rule file: "a/b.toml" -> "a/b.ERROR.txt".
    public static func errorTextPath(_ path: String) -> String {
        var stem = path
        for suffix in [".txt", ".toml"] where stem.lowercased().hasSuffix(suffix) {
            stem = String(stem.dropLast(suffix.count))
        }
        return stem + ".ERROR.txt"
    }

    /// default, a, a/b for a/b.
    private static func chain(_ key: String) -> [String] {
        var keys = [base]
        var path = ""
        for part in key.split(separator: "/") {
            path += (path.isEmpty ? "" : "/") + part
            keys.append(path)
        }
        return keys
    }

    /// Checks each sound file, with what it inherits, against the model it asks for.
    private mutating func check(paths: [String: String], models: ModelCatalogue, prefix: String) {
        guard !models.models.isEmpty else { return }
        for key in layers.keys.sorted(by: { ($0.count, $0) < ($1.count, $1) }) {
            guard let path = paths[key], broken[key] == nil, case .sound(let layer) = rule(forFolder: key),
                let found = Self.modelProblems(layer, models: models)
            else { continue }
            let source = prefix + path
            let own = found.all.map { problem in
                guard problem.source != source else { return problem }
                // A value inherited from a sound file that does not suit this folder's model.
                var moved = problem
                let place = problem.line.map { "\(problem.source) line \($0)" } ?? problem.source
                moved.message += " (from \(place))"
                moved.source = source
                moved.line = nil
                moved.column = nil
                return moved
            }
            let all = RuleProblems(own) ?? found
            problems[path] = all
            broken[key] = all
        }
    }

    /// What no mode can run with. A rule that suits only one kind of job is sound; the other kind fails job by job.
    private static func modelProblems(_ layer: SettingLayer, models: ModelCatalogue) -> RuleProblems? {
        var first: RuleProblems?
        for mode in GenerationMode.allCases {
            do {
                _ = try JobSettings.resolve(layer, mode: mode, models: models)
                return nil
            } catch {
                // Say what is wrong with the values rather than that the model has the other mode.
                if first == nil || first!.first.code == .modelUnsuited { first = error }
            }
        }
        return first
    }
}
