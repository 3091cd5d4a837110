/// What the name of a file in the inbox says about it. Content decides later (magic bytes over extension).
public struct DropName: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        /// `.jpg`, `.jpeg`, `.png`
        case image
        /// `.prompt`, `.prompt.txt`: one prompt
        case prompt
        /// `.prompts`, `.prompts.txt`: one prompt per line
        case promptList
        /// `.wav`, `.m4a`, `.mp3`: sound for the film of the same stem
        case audio
        /// `<film>_sheet.jpg`: the contact sheet of a film of ours, dragged along with it
        case contactSheet
        /// `.mp4`: perhaps a film of ours, to be run again
        case film
        /// `.json`: perhaps the log of a film of ours, to be run again
        case filmLog
        /// Never an input and not worth a word: temporary names, hidden files, system litter, our own texts.
        case ignored
        /// Not an input, and the person should be told why.
        case unsupported(reason: String)
    }

    /// The name as given.
    public let name: String
    public let kind: Kind
    /// The name without the recognised extension, as spelled.
    public let stem: String
    /// The stem folded: equal keys in one folder belong together.
    public let stemKey: String

    public init(_ name: String) {
        self.name = name
        let (kind, stem) = Self.classify(name)
        self.kind = kind
        self.stem = stem
        stemKey = NameKey.fold(stem)
    }

    /// Whether a folder of this name holds inputs (`_done`, `_failed`, `.recycle` and the like do not).
    public static func isInputFolder(_ name: String) -> Bool {
        !name.hasPrefix("_") && !name.hasPrefix(".") && !litter.contains(NameKey.fold(name))
    }

    private static let extensions: [(suffix: String, kind: Kind)] = [
        (".prompt.txt", .prompt), (".prompts.txt", .promptList), (".prompt", .prompt), (".prompts", .promptList),
        (".jpeg", .image), (".jpg", .image), (".png", .image), (".mp4", .film), (".json", .filmLog),
        (".wav", .audio), (".m4a", .audio), (".mp3", .audio),
    ]

    private static let litter: Set<String> = [
        "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "$recycle.bin", "system volume information", "lost+found",
    ]

    private static let temporarySuffixes = [
        ".tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".swp", ".lock", ".bak", "~",
    ]

    /// Pictures that other programs know and this one does not read.
    private static let otherPictures: Set<String> = [
        "webp", "heic", "heif", "avif", "gif", "bmp", "tif", "tiff", "jxl", "jp2", "svg", "psd", "raw", "dng", "jfif",
    ]

    /// The base of the film's name, for the name of its contact sheet; nil for other names.
    private static func film(ofSheet stem: String) -> String? {
        guard NameKey.fold(stem).hasSuffix("_sheet") else { return nil }
        let film = String(stem.unicodeScalars.dropLast("_sheet".unicodeScalars.count))
        return OutputName.stem(ofFilm: film) == nil ? nil : film
    }

    private static func classify(_ name: String) -> (Kind, String) {
        let key = NameKey.fold(name)
        if name.isEmpty || name.hasPrefix("_") || name.hasPrefix(".") { return (.ignored, name) }
        if name.hasPrefix("~$") || key.hasPrefix("~gvf") || litter.contains(key) { return (.ignored, name) }
        if temporarySuffixes.contains(where: key.hasSuffix) { return (.ignored, name) }
        if key.hasSuffix(".error.txt") || key == "status.txt" || key.hasPrefix("readme.") || key == "readme" {
            return (.ignored, name)
        }
        for (suffix, kind) in extensions where key.hasSuffix(suffix) {
            let stem = String(name.unicodeScalars.dropLast(suffix.unicodeScalars.count))
            if stem.isEmpty {
                return (.unsupported(reason: "the name has nothing before \(suffix); give the file a name"), name)
            }
            if kind == .image, let film = film(ofSheet: stem) { return (.contactSheet, film) }
            return (kind, stem)
        }
        let parts = key.split(separator: ".", omittingEmptySubsequences: false)
        if parts.count > 1, let last = parts.last {
            let reason =
                otherPictures.contains(String(last))
                ? "pictures of kind .\(last) are not read; save it as JPEG or PNG"
                : "files of kind .\(last) are not inputs; drop .jpg, .jpeg, .png or .prompt files, and .wav, .m4a or .mp3 beside them"
            return (.unsupported(reason: reason), name)
        }
        return (.unsupported(reason: "the name has no extension; name it .prompt, .jpg or .png"), name)
    }
}
