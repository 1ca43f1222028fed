// Any model in, any model out. Whatever the container, a reader delivers Hugging Face names and
// layouts in execution order, with config.json and tokenizer.json among the files.
#pragma once

#include <memory>
#include <string>

#include "libcommon/io/checkpoint.h"

namespace hone {

// where: a Hugging Face directory; a .safetensors file or hone-stream; a GGUF file; "-" for stdin;
// "random:SHAPE?seed=N" (SHAPE: a name of random_shapes() or a path to a config.json; also
// "&dtype=bf16|f16|f32"). Told apart by content. A pipe whose tensors are not in execution order is
// spooled to an unlinked temporary file; a GGUF's q and k rows are put back in Hugging Face's order
// and BLOOM's and GPT-2's layouts restored (block types stay [out, in]: see weights.h).
std::unique_ptr<CheckpointReader> open_model(const std::string& where);

std::vector<std::string> random_shapes();  // "gpt2", "tinyllama-1.1b", ...

// where: "-" hone-stream to stdout; "x.gguf"; "x.safetensors" (a bundle); anything else is a
// directory; a named pipe or a device ("/dev/null") gets a stream. A GGUF sink takes F32 F16 BF16
// Q8_0 Q4_0 Q4_1 and says which --scheme would fit when it is given something else; a directory
// sink gets GGUF block types refused likewise, and 2:4 packed weights expanded to dense.
std::unique_ptr<CheckpointWriter> create_model(const std::string& where,
                                               const SinkOptions& options);

// True where create_model(where) makes a stream that may carry packed 2:4 and block types.
bool writes_stream(const std::string& where);
// True where it makes a Hugging Face directory.
bool writes_directory(const std::string& where);

}  // namespace hone
