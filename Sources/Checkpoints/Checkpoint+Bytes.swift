extension Checkpoint {
    /// Opens bytes as if they were a file of that name; for fuzzing, where a file each would cost more than its reading.
    package static func open(_ bytes: [UInt8], named path: String) throws(CheckpointError) -> Checkpoint {
        try open(FileMapping(path: path, copying: bytes))
    }
}
