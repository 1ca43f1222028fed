# Makes compressed_tensors_vectors.h: weights quantized and packed by the compressed-tensors package.
#   python make_vectors.py > compressed_tensors_vectors.h     (made with compressed-tensors 0.20.0)
import torch, warnings
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.utils import calculate_qparams
from compressed_tensors.quantization.lifecycle.forward import quantize, dequantize
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
torch.manual_seed(3)
w = (torch.randn(3,32)*torch.tensor([[1.0],[0.02],[30.]]))
w[1,4]=0; w[2,:16]=w[2,:16].abs()
w = (w*64).round()/64  # short decimals
w[1] = w[1]/8
def arr(t): return "{" + ", ".join(str(x) for x in t.flatten().tolist()) + "}"
def farr(t): return "{" + ", ".join(float(x).hex()+"f" for x in t.flatten().tolist()) + "}"
print("// Made by make_vectors.py with the compressed-tensors package; do not edit.\n#pragma once\n\n#include <cstdint>\n#include <string>\n#include <vector>\n\n#include \"libcommon/quant/scheme.h\"\n\nnamespace hone::test {\n\nstruct QuantVector {\n  std::string name;\n  int bits;\n  SchemeKind kind;\n  bool symmetric;\n  int64_t group;\n  std::vector<float> scales;        // [3, 32 / group]\n  std::vector<int> zeros;           // the same, empty where symmetric\n  std::vector<int> codes;           // [3, 32]; fp8: bits\n  std::vector<int32_t> packed;      // [3, words]\n  std::vector<int32_t> packed_zeros;  // [words, 32 / group]\n};\n\n// clang-format off")
print("constexpr float kWeights[3 * 32] =", farr(w)+";")
print("inline const std::vector<QuantVector> kQuantVectors = {")
for (name,bits,typ,sym,strat,g) in [("int8",8,"int",True,"channel",None),("int4",4,"int",True,"group",16),("int4 asym",4,"int",False,"group",16),("int3",3,"int",True,"group",32),("int5 asym",5,"int",False,"channel",None),("int2",2,"int",True,"group",8),("int6",6,"int",True,"channel",None),("fp8",8,"float",True,"channel",None)]:
    a=QuantizationArgs(num_bits=bits,type=typ,symmetric=sym,strategy=strat,group_size=g)
    gs=g or 32
    x=w.reshape(3,32//gs,gs)
    s,z=calculate_qparams(x.amin(-1),x.amax(-1),a)
    q=quantize(w,s,z if not sym else None,a)
    if typ=="float":
        codes=q.to(torch.float8_e4m3fn).view(torch.int8); packed=codes
    else:
        codes=q.to(torch.int8); packed=pack_to_int32(codes,bits)
    d=dequantize(codes if typ=="int" else q.to(torch.float8_e4m3fn), s, z if not sym else None, a)
    print(f'{{"{name}", {bits}, {"SchemeKind::kInt" if typ=="int" else "SchemeKind::kFloat8"}, {str(sym).lower()}, {gs},\n {farr(s)},\n {arr(z.to(torch.int8)) if not sym else "{}"},\n {arr(codes)},\n {arr(packed) if typ=="int" else "{}"},\n {arr(pack_to_int32(z.to(torch.int8),bits,packed_dim=0)) if not sym else "{}"}}},')
print("};\n// clang-format on\n\n}  // namespace hone::test")
