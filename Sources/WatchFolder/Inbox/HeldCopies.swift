import Intake

/// The copies of files that are ready, by the path of the file; files of the same content share one copy.
struct HeldCopies {
    private var byPath: [RelativePath: Snapshot] = [:]
    /// How many files hold each copy, by digest.
    private var holders: [String: Int] = [:]

    subscript(path: RelativePath) -> Snapshot? {
        get { byPath[path] }
        set {
            if let old = byPath[path] {
                let left = holders[old.sha256, default: 1] - 1
                holders[old.sha256] = left > 0 ? left : nil
            }
            byPath[path] = newValue
            if let newValue { holders[newValue.sha256, default: 0] += 1 }
        }
    }

    func holds(_ sha256: String) -> Bool { holders[sha256] != nil }

    var digests: some Collection<String> { holders.keys }
}
